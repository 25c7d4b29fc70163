"""A layer with numbers to run it on, and one run of it through a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from caffelite.graph.wiring import assign
from caffelite.layers.base import Layer, argument_names, measures, plain
from caffelite.layers.registry import lookup
from caffelite.params import Param
from caffelite.plan.kernel import CHANNELS_LAST, PLAIN, ArrayKernel, Engine, Kernel, Operand, Site
from caffelite.testing.remote import Remote
from caffelite.types import Phase, Shape

Array = npt.NDArray[Any]


def make_layer(
    type_: str, text: str = "", bottoms: int = 1, tops: int = 1, phase: Phase = Phase.TRAIN
) -> Layer:
    """The layer ``layer { name: "layer" type: ... bottom: "x0" ... top: "y0" ... <text> }``.

    Raises what reading a net and building a layer raise.
    """
    from caffelite.prototxt.source import parse_net

    names = [f'bottom: "x{i}"' for i in range(bottoms)] + [f'top: "y{i}"' for i in range(tops)]
    source = parse_net(f'layer {{ name: "layer" type: "{type_}" {" ".join(names)} {text} }}')
    return lookup(type_)(source.message.layer[0], phase, source.origins[0])


@dataclass(frozen=True)
class LayerCase:
    """A layer and what it is run on. Everything is drawn from ``seed``.

    Bottoms are uniform between ``low`` and ``high``; those in ``labels`` (bottom -> classes) hold class
    numbers; those in ``values`` are as given. So are the parameters in ``params`` (by name), others are
    uniform between -1 and 1, or 0.5 and 1.5 for statistics.
    """

    type: str
    text: str
    shapes: tuple[Shape, ...]
    tops: int = 1
    phase: Phase = Phase.TRAIN
    labels: Mapping[int, int] = field(default_factory=dict)
    values: Mapping[int, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    low: float = -1.0
    high: float = 1.0
    seed: int = 0

    def layer(self) -> Layer:
        """A new layer."""
        return make_layer(self.type, self.text, len(self.shapes), self.tops, self.phase)

    def reshaped(self, shapes: Sequence[Shape]) -> LayerCase:
        """The case with other shapes."""
        return replace(self, shapes=tuple(shapes))

    def reseeded(self, seed: int) -> LayerCase:
        """The case with other numbers."""
        return replace(self, seed=seed)

    def inputs(self) -> list[Array]:
        """The bottoms, float64."""
        return [self._input(i, shape) for i, shape in enumerate(self.shapes)]

    def param_values(self, layer: Layer) -> dict[str, Array]:
        """The parameters that a layer declared, float64."""
        values = {}
        for i, spec in enumerate(layer.params):
            low, high = (-1.0, 1.0) if spec.learnable else (0.5, 1.5)
            drawn = np.asarray(self.rng("param", i).uniform(low, high, spec.shape))
            values[spec.name] = np.asarray(self.params.get(spec.name, drawn), np.float64)
        return values

    def top_gradients(self, layer: Layer, shapes: Sequence[Shape]) -> list[Array]:
        """The gradients put on the tops, float64; zeros for tops that backward does not name."""
        named = argument_names(layer.backward) if hasattr(layer, "backward") else ()
        names = _flat_names(layer.tops, len(shapes))
        scales = [float(f"d{name}" in named) for name in names]
        return [
            np.asarray(self.rng("dy", i).uniform(0.5, 1.5, shape) * scale)
            for i, (shape, scale) in enumerate(zip(shapes, scales, strict=True))
        ]

    def rng(self, *key: str | int) -> np.random.Generator:
        """The generator for one use."""
        words = [self.seed, *(int.from_bytes(str(part).encode(), "little") for part in key)]
        return np.random.default_rng(words)

    def describe(self, variant: Variant) -> str:
        """What a failure message ends with."""
        return (
            f"  layer {self.type} {{ {self.text} }} phase {self.phase.name}, shapes {list(self.shapes)}, "
            f"seed {self.seed}\n  {variant}"
        )

    def _input(self, i: int, shape: Shape) -> Array:
        given = self.values.get(i)
        if given is not None and np.shape(given) == shape:
            return np.asarray(given, np.float64)
        rng = self.rng("x", i)
        if i in self.labels:
            return rng.integers(0, self.labels[i], shape).astype(np.float64)
        return np.asarray(rng.uniform(self.low, self.high, shape))


@dataclass(frozen=True)
class Variant:
    """How a case is run: kernel (None: the array body) and its engine, layout, dtype."""

    kernel: type[Kernel] | None = None
    layout: str = PLAIN
    dtype: str = "float32"
    engine: Engine | None = None

    @property
    def precision(self) -> str:
        """The key of ``TOLERANCES``."""
        return self.engine.precision if self.engine else self.dtype

    def __str__(self) -> str:
        engine = self.engine.name if self.engine else "reference"
        kernel = self.kernel.__name__ if self.kernel else "array body"
        return f"engine {engine}, kernel {kernel}, layout {self.layout}, {self.precision}"


class Run:
    """One run of a case. ``x, y, dx, dy`` are lists by position and may be changed before a pass.

    Tops, gradients to write and saved arrays start as NaN (255 in integers), so that what is left unwritten
    shows.
    """

    def __init__(self, case: LayerCase, variant: Variant, *, propagate: bool = True, learn: bool = True):
        self.case, self.variant = case, variant
        self.layer = layer = case.layer()
        inferred = layer.infer(list(case.shapes))
        self.x = [self._placed(a) for a in case.inputs()]
        values = case.param_values(layer)
        self.params = {name: Param(value.astype(variant.dtype)) for name, value in values.items()}
        top_shapes = [tuple(shape) for shape in self._measured() or inferred][: case.tops]
        self.y = [self._empty(shape) for shape in top_shapes]
        self.dy = [self._placed(a) for a in case.top_gradients(layer, top_shapes)]
        self.dx = [
            self._empty(x.shape) if propagate and wanted else None
            for x, wanted in zip(self.x, self.wanted, strict=True)
        ]
        learned = {spec.name: learn and spec.learnable for spec in layer.params}
        self.kernel = self._kernel(top_shapes, learned)
        self.saved = {spec.name: self._saved(spec) for spec in self.kernel.saved()}
        for param in self.params.values():
            param.clear_grad()

    @property
    def wanted(self) -> list[bool]:
        """For each bottom: can it have a gradient?"""
        named = argument_names(self.layer.backward) if hasattr(self.layer, "backward") else ()
        return [f"d{name}" in named for name in _flat_names(self.layer.bottoms, len(self.case.shapes))]

    @property
    def has_backward(self) -> bool:
        return hasattr(self.layer, "backward")

    @property
    def context(self) -> str:
        """What failure messages end with."""
        return self.case.describe(self.variant)

    @property
    def learned(self) -> dict[str, Array]:
        """The gradients of learnable parameters."""
        return {spec.name: self.params[spec.name].grad for spec in self.layer.params if spec.learnable}

    def forward(self) -> Run:
        rng = self.case.rng("forward")  # the same in each pass
        state = rng.bit_generator.state

        def fresh() -> np.random.Generator:
            rng.bit_generator.state = state
            return rng

        self.kernel.bind(self._values(), self.params, fresh)
        self._compute(self.kernel.forward)
        return self

    def backward(self) -> Run:
        gradients = assign(_prefixed(self.layer.bottoms), list(self.dx))
        gradients |= assign(_prefixed(self.layer.tops), list(self.dy))
        self.kernel.bind_backward(self._values() | gradients)
        self._compute(self.kernel.backward)  # type: ignore[attr-defined]
        return self

    def poison_unread(self) -> None:
        """Overwrites every value that the kernel does not declare to read in backward."""
        values = [(n, a) for n, a in zip(_flat_names(self.layer.bottoms, len(self.x)), self.x, strict=True)]
        values += [(n, a) for n, a in zip(_flat_names(self.layer.tops, len(self.y)), self.y, strict=True)]
        values += list(self.saved.items())
        for name, array in values:
            if name not in self.kernel.reads():
                _poison(array)

    # -- making arrays ----------------------------------------------------------------------------------

    def _measured(self) -> list[Shape]:
        """The shapes of the tops of a layer that decides them by values; empty for others."""
        if not measures(self.layer):
            return []
        kernel = ArrayKernel(Site(self.layer, {}))
        kernel.bind(assign(self.layer.bottoms, list(self.x)), self.params, lambda: self.case.rng("forward"))
        return kernel.measure()

    def _kernel(self, top_shapes: list[Shape], learned: dict[str, bool]) -> Kernel:
        operands = assign(self.layer.bottoms, [self._operand(shape) for shape in self.case.shapes])
        operands |= assign(self.layer.tops, [self._operand(shape) for shape in top_shapes])
        propagate = tuple(dx is not None for dx in self.dx)
        site = Site(
            self.layer,
            operands,
            propagate,
            learned,
            self.has_backward,
            self.variant.dtype,
            self.variant.precision,
        )
        engine = self.variant.engine
        kernel = engine.make_kernel(self.variant.kernel, site) if engine else ArrayKernel(site)
        return Remote(kernel, engine) if engine and engine.remote else kernel

    def _operand(self, shape: Shape) -> Operand:
        layout = self.variant.layout if len(shape) == 4 else PLAIN
        return Operand(tuple(shape), layout, self.variant.dtype)

    def _empty(self, shape: Shape) -> Array:
        return self._placed(np.full(shape, np.nan))

    def _placed(self, values: Array) -> Array:
        values = values.astype(self.variant.dtype)
        if values.ndim == 4 and self.variant.layout == CHANNELS_LAST:
            return np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        return values

    def _saved(self, spec: Any) -> Array:
        array = np.empty(spec.shape, self.variant.dtype if spec.dtype == "float" else spec.dtype)
        _poison(array)
        return array

    def _values(self) -> dict[str, Any]:
        values = assign(self.layer.bottoms, list(self.x)) | assign(self.layer.tops, list(self.y))
        return values | self.saved

    def _compute(self, step: Any) -> None:
        if self.variant.engine is None:
            step()
        else:
            with self.variant.engine.compute():
                step()


def _poison(array: Array) -> None:
    array[...] = np.nan if array.dtype.kind == "f" else 255


def _prefixed(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"d{name}" for name in names)


def _flat_names(names: Sequence[str], size: int) -> list[str]:
    """The plain declared name of each of ``size`` bottoms or tops."""
    positions: dict[str, Any] = assign(tuple(names), list(range(size)))
    flat = [""] * size
    for name in map(plain, names):
        at = positions[name]
        for position in [] if at is None else at if isinstance(at, list) else [at]:
            flat[position] = name
    return flat
