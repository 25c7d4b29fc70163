"""Walks a plan: forward, backward, hooks, timing, the search for the first bad number. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from caffelite.graph.graph import Value
from caffelite.graph.wiring import assign
from caffelite.params import Array, Param
from caffelite.plan.kernel import Engine
from caffelite.plan.place import wants
from caffelite.plan.plan import Copy, Placement, Plan, Step
from caffelite.random import RandomSource
from caffelite.storage import ARENA, Storage
from caffelite.types import Shape

Hook = Callable[[int], None]


@dataclass
class Hooks:
    """Callables with a layer's index, around each layer. While there is one, plans run without fusion."""

    before_forward: list[Hook] = field(default_factory=list)
    after_forward: list[Hook] = field(default_factory=list)
    before_backward: list[Hook] = field(default_factory=list)
    after_backward: list[Hook] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.before_forward or self.after_forward or self.before_backward or self.after_backward)


@dataclass
class Times:
    """Seconds spent in each layer, added up over passes."""

    forward: list[float]
    backward: list[float]


@dataclass
class Passes:
    """The number of forward passes so far; with the seed it is all the random state that a net has."""

    number: int = 0


class Executor:
    """A plan with its arrays."""

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        storage: Storage,
        params: Mapping[str, list[Param]],
        random: RandomSource,
        passes: Passes,
        hooks: Hooks,
    ):
        self.plan, self.engine, self.storage = plan, engine, storage
        self.hooks, self.times = hooks, None  # type: Hooks, Times | None
        self._params, self._random, self._passes = params, random, passes
        self._generation = self._filled = self._allocated = -1
        self._backward_ready = False
        self._whole_forward: dict[tuple[int, int], Callable[[], None]] = {}
        self._whole_backward: Callable[[], None] | None = None
        self._losses = [value for value in plan.graph.values if value.loss_weight]

    # -- arrays -----------------------------------------------------------------------------------------

    def data(self, value: Value) -> Array:
        """The array of a value; its content lasts as long as the plan says."""
        return self.storage.array(self.plan.data[value])

    def diff(self, value: Value) -> Array | None:
        """The gradient of a value; None if no backward pass writes or reads one."""
        if value not in self.plan.diff:
            return None
        self.prepare_backward()
        return self.storage.array(self.plan.diff[value])

    def prepare(self) -> None:
        """Binds kernels to memory, again if any of it has moved. Those that are bound to it already stay so."""
        if self._generation == self.storage.generation:
            return
        self._allocate()
        self._generation = self.storage.generation
        for step in self.plan.steps:
            self._bind(step)
        if self._backward_ready:
            self._bind_backward()

    def _bind(self, step: Step) -> None:
        params = {use.spec.name: self._params[step.node.store][use.index] for use in step.node.params}
        bound = self._where(self._forward_places(step)), tuple(params.values())
        kernel = step.kernel
        if kernel.bound != bound:
            kernel.bound = kernel.bound_backward = None  # should it fail
            draw = partial(_generator, self._random, self._passes, step.node.key)
            kernel.bind(self._forward_arrays(step), params, draw)
            kernel.bound = bound

    def prepare_backward(self) -> None:
        """Allocates gradients and binds backward passes; the first call does the work."""
        if not self._backward_ready:
            self._backward_ready, self._generation, self._allocated = True, -1, -1
        self.prepare()

    @property
    def stale(self) -> bool:
        """Whether it holds arrays that the net has replaced by larger ones."""
        return 0 <= self._generation < self.storage.replaced

    def forget(self) -> None:
        """Looks at the next pass whether all kernels are bound as here (parameters were exchanged, or plans)."""
        self._generation = -1

    def _allocate(self) -> None:
        if self._allocated == self.storage.generation:
            return
        if (
            self.plan.arena_bytes
        ):  # whole at once: growing it for gradients would lose what forward left there
            self.storage.take(ARENA, self.plan.arena_bytes)
        places = list(self.plan.data.values())
        places += [place for step in self.plan.steps for place in step.saved.values()]
        if self._backward_ready:
            places += self.plan.diff.values()
        for place in places:
            self.storage.reserve(place)
        self._allocated = self.storage.generation
        self._whole_forward, self._whole_backward = {}, None

    def _bind_backward(self) -> None:
        for step in self.plan.steps:
            if step.node.backward and not step.grad_view:
                bound = self._where(self._gradient_places(step))
                if step.kernel.bound_backward != bound:
                    step.kernel.bind_backward(self._forward_arrays(step) | self._gradients(step))
                    step.kernel.bound_backward = bound
        self._fill_diffs()
        if self._whole_backward is None:
            self._whole_backward = self.engine.compile(
                [call for step in reversed(self.plan.steps) for call in self._backward_calls(step)]
            )

    def _fill_diffs(self) -> None:
        """Writes loss weights (and zeros) to the gradients of tops that nobody reads, once for each memory.

        What a user puts there later stays. A plan that reuses memory does it step by step, when the memory is free.
        """
        if self.plan.observe and self._filled < self.storage.replaced:
            for step in self.plan.steps:
                _fill(self.storage, step)
            self._filled = self.storage.generation

    def _tops(self, step: Step) -> Sequence[Value]:
        """The values that a step writes: those of the activation at its end, if nobody looks at its own."""
        return step.absorbs.node.tops if step.absorbs and not self.plan.observe else step.node.tops

    def _forward_places(self, step: Step) -> list[Placement | None]:
        values = (*step.node.bottoms, *self._tops(step))
        return [*(self.plan.data[value] for value in values), *step.saved.values()]

    def _gradient_places(self, step: Step) -> list[Placement | None]:
        node, diff = step.node, self.plan.diff
        bottoms = [diff[value] if wants(node, value) else None for value in node.bottoms]
        return [*bottoms, *(diff.get(value) for value in node.tops)]

    def _where(self, places: Iterable[Placement | None]) -> tuple[object, ...]:
        """What says where arrays lie: equal for two lists of places if the arrays are the same memory."""
        return tuple(
            place and (place.buffer.name, place.buffer.offset, place.operand, self.storage.stamp(place))
            for place in places
        )

    def _forward_arrays(self, step: Step) -> dict[str, Any]:
        node = step.node
        bottoms = assign(node.layer.bottoms, [self.data(value) for value in node.bottoms])
        arrays = bottoms | assign(node.layer.tops, [self.data(value) for value in self._tops(step)])
        return arrays | {name: self.storage.array(place) for name, place in step.saved.items()}

    def _gradients(self, step: Step) -> dict[str, Any]:
        node, array = step.node, self.storage.array
        bottoms = [array(self.plan.diff[v]) if wants(node, v) else None for v in node.bottoms]
        tops = [array(self.plan.diff[v]) if v in self.plan.diff else None for v in node.tops]
        named = assign(node.layer.bottoms, bottoms) | assign(node.layer.tops, tops)
        return {f"d{name}": value for name, value in named.items()}

    # -- compiled passes --------------------------------------------------------------------------------

    def _forward_calls(self, step: Step, fused: bool) -> list[Callable[[], None]]:
        calls = self._copies(step.before)
        if not step.view and not (fused and step.absorbed_by):
            calls.append(step.kernel.forward if fused or not step.absorbs else step.kernel.forward_plain)
        return calls + self._copies(step.after)

    def _backward_calls(self, step: Step) -> list[Callable[[], None]]:
        if not step.node.backward:
            return []
        calls: list[Callable[[], None]] = []
        if step.fills and not self.plan.observe:
            fills = [(self.storage.array(place), weight) for place, weight in step.fills]
            calls += [partial(_write, array, weight) for array, weight in fills]
        if not step.grad_view:
            calls.append(step.kernel.backward)  # type: ignore[attr-defined]
        return calls + self._copies(step.after_backward)

    def _copies(self, copies: list[Copy]) -> list[Callable[[], None]]:
        array = self.storage.array
        return [partial(_write, array(copy.target), array(copy.source)) for copy in copies]

    # -- passes -----------------------------------------------------------------------------------------

    def forward(self, start: int = 0, end: int | None = None) -> float:
        """Runs layers ``start`` to ``end`` (inclusive) and returns their part of the loss."""
        last = len(self.plan.steps) - 1
        end = last if end is None else end
        self.run(start, end, whole=(start, end) == (0, last), entered=start > 0)
        return self.finish(start, end)

    def run(self, start: int, end: int, *, whole: bool, entered: bool, measured: int | None = None) -> None:
        """Runs layers ``start`` to ``end`` of a pass.

        ``whole``: the pass covers all layers, though other plans may do the rest of it, so that kernels may take over
        what follows them. ``entered``: the pass began behind the first layer, so blobs may hold what a user wrote.
        ``measured``: the layer that :meth:`measure` has begun.
        """
        self.prepare()
        with self.engine.compute(), np.errstate(all="ignore"):
            if whole and not self.hooks and self.times is None:
                self._fused(start, end)()
            else:
                for step in self.plan.steps[start : end + 1]:
                    self._run_forward(step, entered, begun=step.node.index == measured)

    def measure(self, index: int, *, entered: bool) -> list[Shape]:
        """Begins a layer that decides the shapes of its tops during the pass, and gives them.

        Hooks before the layer are called here: a Python layer computes while it measures.
        """
        self.prepare()
        step = self.plan.steps[index]
        with self.engine.compute(), np.errstate(all="ignore"):
            for hook in self.hooks.before_forward:
                hook(index)
            began = perf_counter()
            for copy in self._copies([*(step.enter if entered else ()), *step.before]):
                copy()
            shapes = step.kernel.measure()
        if self.times is not None:
            self.times.forward[index] += perf_counter() - began
        return shapes

    def finish(self, start: int, end: int) -> float:
        """Counts a pass over layers ``start`` to ``end`` and returns their part of the loss."""
        self._passes.number += 1
        return self._loss(self.plan.steps[start : end + 1])

    def _fused(self, start: int, end: int) -> Callable[[], None]:
        part = (start, end)
        if part not in self._whole_forward:
            steps = self.plan.steps[start : end + 1]
            self._whole_forward[part] = self.engine.compile(
                [call for step in steps for call in self._forward_calls(step, fused=True)]
            )
        return self._whole_forward[part]

    def backward(self, start: int | None = None, end: int = 0) -> None:
        """Runs the gradients of layers ``start`` down to ``end`` (inclusive)."""
        self.prepare_backward()
        steps = self.plan.steps[end : None if start is None else start + 1]
        entered = len(steps) > 0 and steps[-1] is not self.plan.steps[-1]
        with self.engine.compute(), np.errstate(all="ignore"):
            if len(steps) == len(self.plan.steps) and not self.hooks and self.times is None:
                if self._whole_backward is not None:
                    self._whole_backward()
            else:
                for step in reversed(steps):
                    self._run_backward(step, entered)

    def _run_forward(self, step: Step, entered: bool, *, begun: bool) -> None:
        for hook in () if begun else self.hooks.before_forward:
            hook(step.node.index)
        began = perf_counter()
        for call in [
            *self._copies(step.enter if entered else []),
            *self._forward_calls(step, not self.plan.observe),
        ]:
            call()
        if self.times is not None:
            self.engine.synchronize()
            self.times.forward[step.node.index] += perf_counter() - began
        for hook in self.hooks.after_forward:
            hook(step.node.index)

    def _run_backward(self, step: Step, entered: bool) -> None:
        for hook in self.hooks.before_backward:
            hook(step.node.index)
        began = perf_counter()
        for call in [*self._copies(step.enter_backward if entered else []), *self._backward_calls(step)]:
            call()
        if self.times is not None:
            self.engine.synchronize()
            self.times.backward[step.node.index] += perf_counter() - began
        for hook in self.hooks.after_backward:
            hook(step.node.index)

    def _loss(self, steps: list[Step]) -> float:
        """The sum over loss tops of data times diff, which holds the loss weight unless a user has written it."""
        nodes = {step.node for step in steps}
        total = 0.0
        for value in self._losses:
            if value.producer not in nodes:
                continue
            data, diff = self.data(value), self._written_diff(value)
            total += value.loss_weight * float(data.sum()) if diff is None else float((data * diff).sum())
        return total

    def _written_diff(self, value: Value) -> Array | None:
        """The diff of a loss top if a user has put something else there than the loss weight."""
        if not (self._backward_ready and self.plan.observe and value in self.plan.diff):
            return None
        diff = self.storage.array(self.plan.diff[value])
        return None if (diff == value.loss_weight).all() else diff

    # -- diagnosis --------------------------------------------------------------------------------------

    def first_not_finite(self) -> str:
        """Names the first parameter or blob with a NaN or infinity, in forward order; empty if there is none.

        Layers run once more on the batch at hand (data layers do not), since a plan that reuses memory has
        overwritten most blobs. Random draws are those of the last pass, and statistics stay as it left them.
        """
        self.prepare()
        statistics = [(param, param.data.copy()) for param in self._statistics()]
        self._passes.number -= 1
        try:
            with self.engine.compute(), np.errstate(all="ignore"):
                return self._search()
        finally:
            self._passes.number += 1
            for param, values in statistics:
                param.load(values)

    def _statistics(self) -> Iterator[Param]:
        for step in self.plan.steps:
            for use in step.node.params:
                if not use.spec.learnable:
                    yield self._params[step.node.store][use.index]

    def _search(self) -> str:
        for step in self.plan.steps:
            for use in step.node.params:
                found = _bad_numbers(self._params[step.node.store][use.index].data)
                if found:
                    return f"param {use.index} ('{use.spec.name}') of layer '{step.node.name}' ({step.node.type}), {found}"
            if not step.node.layer.source:
                for call in self._forward_calls(step, fused=not self.plan.observe):
                    call()
            for value in step.node.tops:
                found = "" if step.absorbed_by else _bad_numbers(self.engine.to_host(self.data(value)))
                if found:
                    return f"blob '{value.name}' (layer '{step.node.name}', {step.node.type}), {found}"
        return ""


def _generator(random: RandomSource, passes: Passes, layer: str) -> np.random.Generator:
    """A layer's draws in the pass at hand. No method: kernels keep it, and would keep the executor alive."""
    return random.generator("layer", layer, passes.number)


def _write(target: Array, source: Array | float) -> None:
    target[...] = source


_write.only_launches = True  # type: ignore[attr-defined]  # on arrays of a device nothing else happens


def _fill(storage: Storage, step: Step) -> None:
    for placement, weight in step.fills:
        storage.array(placement)[...] = weight


def _bad_numbers(array: Array) -> str:
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    return f"{bad} of {array.size} values" if bad else ""
