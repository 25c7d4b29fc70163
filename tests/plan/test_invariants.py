"""What holds for the plan of any net: every read follows its write, and nothing overwrites what is still read."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from caffelite.engine import get_engine
from caffelite.graph.graph import Value
from caffelite.graph.wiring import assign
from caffelite.layers.base import plain
from caffelite.model import Model
from caffelite.plan.memory import ALIGNMENT
from caffelite.plan.plan import Placement, Plan, Step
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

SEEDS = range(60)
KINDS = [(observe, fuse) for observe in (True, False) for fuse in (True, False)]


class Memory:
    """What each stretch of memory holds, by tag. A write wipes out everything that it touches."""

    def __init__(self) -> None:
        self.held: list[tuple[object, int, int, object]] = []

    def write(self, place: Placement, tag: object) -> None:
        space, start, end = _stretch(place)
        self.held = [h for h in self.held if h[0] is not space or h[2] <= start or h[1] >= end]
        self.held.append((space, start, end, tag))

    def check(self, place: Placement, tag: object, who: str) -> None:
        space, start, end = _stretch(place)
        assert start == end or (space, start, end, tag) in self.held, f"{who} reads {tag}, which is not there"


def _stretch(place: Placement) -> tuple[object, int, int]:
    buffer = place.buffer
    start = buffer.offset or 0
    return ("arena" if buffer.offset is not None else buffer), start, start + place.operand.nbytes


def overlap(a: Placement, b: Placement) -> bool:
    (space, start, end), (other, first, last) = _stretch(a), _stretch(b)
    return space is other and start < last and first < end


class Simulation:
    """A pass over a plan that moves tags instead of numbers."""

    def __init__(self, plan: Plan):
        self.plan, self.memory = plan, Memory()
        self.fused = {post: step for step in plan.steps if (post := step.absorbs) is not None}

    def run(self) -> None:
        for step in self.plan.steps:
            self.forward(step)
        for step in reversed(self.plan.steps):
            if step.node.backward:
                self.backward(step)
        for value in self.plan.graph.values:
            if value.reader is None:
                self.memory.check(self.plan.data[value], self.tag(value), "the user")

    def tag(self, value: Value) -> object:
        """Views hold what their bottom holds, as does a value that its reader was absorbed into."""
        step = self.plan.steps[value.producer.index]
        if step.view:
            return self.tag(value.producer.bottoms[0])
        if step.absorbs is not None:
            return self.tag(step.absorbs.node.tops[0])
        return str(value)

    def dtag(self, value: Value) -> object:
        """A gradient view holds what the top's gradient holds."""
        reader = value.reader and self.plan.steps[value.reader.index]
        if reader and reader.grad_view:
            return self.dtag(next(top for top in reader.node.tops if top in self.plan.diff))
        return f"d {value}"

    def forward(self, step: Step) -> None:
        plan, node = self.plan, step.node
        self.copies(step.before)
        if not step.view and step not in self.fused:
            bottoms = [] if node.layer.source else list(node.bottoms)
            for value in bottoms:
                self.memory.check(plan.data[value], self.tag(value), node.name)
            written = [plan.data[top] for top in (step.absorbs.node.tops if step.absorbs else node.tops)]
            self.apart(
                step, [plan.data[b] for b in bottoms], [*written, *step.saved.values()], step.kernel.inplace
            )
            for top in node.tops:
                self.memory.write(plan.data[top], self.tag(top))
            if step.absorbs:
                self.memory.write(written[0], self.tag(node.tops[0]))
            for name, place in step.saved.items():
                self.memory.write(place, f"{node.key}.{name}")
        self.copies(step.after)

    def backward(self, step: Step) -> None:
        plan, node, memory = self.plan, step.node, self.memory
        for place, _ in step.fills:
            top = next(top for top in node.tops if plan.diff.get(top) is place)
            memory.write(place, self.dtag(top))
        if not step.grad_view:
            read = [(plan.data[v], self.tag(v)) for v in self.values_read(step)]
            read += [
                (place, f"{node.key}.{name}")
                for name, place in step.saved.items()
                if name in step.kernel.reads()
            ]
            read += [(plan.diff[top], self.dtag(top)) for top in node.tops if top in plan.diff]
            for place, tag in read:
                memory.check(place, tag, f"backward of {node.name}")
            wanted = [v for v, want in zip(node.bottoms, node.propagate, strict=True) if want]
            self.apart(
                step, [place for place, _ in read], [plan.diff[v] for v in wanted], step.kernel.inplace
            )
            for value in wanted:
                memory.write(plan.diff[value], self.dtag(value))
        self.copies(step.after_backward)

    def values_read(self, step: Step) -> Iterable[Value]:
        layer, node = step.node.layer, step.node
        named: dict[str, Any] = assign(layer.bottoms, list(node.bottoms)) | assign(
            layer.tops, list(node.tops)
        )
        for name, values in named.items():
            if plain(name) in step.kernel.reads() and values is not None:
                yield from values if isinstance(values, list) else [values]

    def copies(self, copies: list[Any]) -> None:
        """Copies to what users see; they may show what the arena holds, never destroy what is read later."""
        for copy in copies:
            tag = next((h[3] for h in self.memory.held if h[:3] == _stretch(copy.source)), "?")
            self.memory.write(copy.target, tag)

    def apart(self, step: Step, read: list[Placement], written: list[Placement], inplace: bool) -> None:
        """What a kernel writes overlaps nothing that it reads, but where it may work in place; nor itself."""
        for a, b in combinations(written, 2):
            assert not overlap(a, b), f"{step.node.name} writes two things to one place"
        for a in written:
            for b in read:
                same = a.buffer is b.buffer
                assert not overlap(a, b) or (same and inplace), f"{step.node.name} overwrites what it reads"


@pytest.fixture(params=["toy", "reference", "cpu"])
def engine(request, toy) -> Any:
    return toy if request.param == "toy" else get_engine(request.param)


@pytest.mark.parametrize(("observe", "fuse"), KINDS)
def test_every_read_follows_its_write(random_net, planned, engine, observe: bool, fuse: bool) -> None:
    for seed in SEEDS:
        plan = planned(random_net(seed).text, engine=engine, observe=observe, fuse=fuse)
        Simulation(plan).run()


def test_live_buffers_do_not_overlap(random_net, planned, engine) -> None:
    for seed in SEEDS:
        plan = planned(random_net(seed).text, engine=engine, observe=False)
        inside = [buffer for buffer in plan.buffers if buffer.offset is not None]
        assert all(b.offset % ALIGNMENT == 0 and b.offset + b.nbytes <= plan.arena_bytes for b in inside)
        for a, b in combinations(inside, 2):
            together = a.first <= b.last and b.first <= a.last
            assert not together or a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset, (
                seed,
                a,
                b,
            )


def test_the_arena_is_worth_it(random_net, planned, toy) -> None:
    plans = [planned(random_net(seed).text, engine=toy, observe=False) for seed in SEEDS]
    assert sum(plan.total_bytes for plan in plans) < 0.8 * sum(plan.unshared_bytes for plan in plans)


def test_what_must_outlive_a_pass_stays_out_of_the_arena(random_net, planned, toy) -> None:
    for seed in SEEDS:
        plan = planned(random_net(seed).text, engine=toy, observe=False)
        for node in plan.graph.nodes:
            if node.layer.source:
                assert all(plan.data[top].buffer.offset is None for top in node.tops)


# -- numbers ---------------------------------------------------------------------------------------------------


def run(text: str, engine: Any, **options: Any) -> list[dict[str, np.ndarray]]:
    """Loss, outputs and parameter gradients of two passes."""
    model = Model(parse_net(text), Phase.TRAIN, engine=engine, seed=3, **options)
    passes = []
    for _ in range(2):
        model.clear_grads()
        result = {"loss": np.float64(model.forward()), **model.outputs()}
        model.backward()
        result |= {
            f"{name}[{i}]'": p.grad.copy() for name, ps in model.params.items() for i, p in enumerate(ps)
        }
        passes.append(result)
    return passes


def same(
    got: list[dict[str, np.ndarray]], want: list[dict[str, np.ndarray]], tolerance: float, seed: int
) -> None:
    for number, (mine, theirs) in enumerate(zip(got, want, strict=True)):
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            bound = tolerance * max(1.0, float(np.abs(value).max(initial=0)))
            assert np.allclose(mine[name], value, rtol=0, atol=bound), f"seed {seed}, pass {number}: {name}"


@pytest.mark.parametrize(("observe", "fuse"), KINDS[1:])
@pytest.mark.parametrize("name", ["toy", "reference"])
def test_all_plans_compute_the_same_bit_for_bit(
    random_net, toy, name: str, observe: bool, fuse: bool
) -> None:
    engine = toy if name == "toy" else name
    for seed in range(25):
        text = random_net(seed).text
        same(run(text, engine, observe=observe, fuse=fuse), run(text, engine), 0.0, seed)


@pytest.mark.parametrize(("observe", "fuse"), KINDS)
def test_the_cpu_engine_computes_the_same(random_net, observe: bool, fuse: bool) -> None:
    for seed in range(25):
        text = random_net(seed).text
        same(run(text, "cpu", observe=observe, fuse=fuse), run(text, "reference"), 1e-4, seed)
