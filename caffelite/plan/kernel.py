"""The contract between plans and engines: what a kernel is told, and what it offers.

An engine offers, for each layer type, kernels in order of preference (``caffelite/cpu/convolution.py`` ends with
``KERNELS = (OneDnnConvolution,)``). The planner asks each ``refuses(site)``; the first that has no objection
computes the node, and the objections of the others stand in the plan. The layer's own array body comes last
and never refuses. A kernel lives through three moments:

1. ``Kernel(site)``      shapes and layouts are known, arrays are not: make primitives, say what is needed
2. ``bind(arrays, ...)`` bottoms, tops and saved arrays are known and stay put until the next bind: make argument
   lists. ``bind_backward(arrays)`` follows before the first backward pass, with the gradients besides; a net that
   only runs forward never has any
3. ``forward()`` / ``backward()``   many times; nothing is looked up, nothing allocated that lasts

Names in ``arrays`` are the layer's own: ``x``, ``y``, ``dx``, ``dy``, saved arrays. Repeated bottoms and tops are
lists. A gradient that nobody asks for is None. ``dx`` is overwritten; parameter gradients are accumulated
through ``Param.grad_for_write()``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar, Protocol

import numpy as np

from caffelite.errors import CaffeliteError
from caffelite.layers.base import Layer, SavedSpec, argument_names, plain
from caffelite.layers.registry import module_name
from caffelite.params import Array, Param
from caffelite.types import Shape, count

PLAIN = "plain"  # C order
CHANNELS_LAST = "nhwc"  # 4-D only: shape (N, C, H, W), memory order N, H, W, C


@dataclass(frozen=True)
class Operand:
    """An array as the planner knows it. Strides count elements."""

    shape: Shape
    layout: str = PLAIN
    dtype: str = "float32"

    @property
    def strides(self) -> tuple[int, ...]:
        if self.layout == CHANNELS_LAST:
            _, c, h, w = self.shape
            return (h * w * c, 1, w * c, c)
        return tuple(count(self.shape, axis + 1) for axis in range(len(self.shape)))

    @property
    def nbytes(self) -> int:
        return count(self.shape) * np.dtype(self.dtype).itemsize


Operands = Operand | list[Operand] | None


@dataclass(frozen=True)
class Site:
    """A node's place in a plan: all that a kernel may know before arrays exist."""

    layer: Layer
    operands: Mapping[
        str, Operands
    ]  # bottoms and tops by their plain names; lists for repeated, None for absent
    propagate: tuple[bool, ...] = ()  # for each bottom, in order: is its gradient wanted?
    learn: Mapping[str, bool] = field(default_factory=dict)  # param name -> is its gradient wanted?
    backward: bool = False  # will backward ever run?
    dtype: str = "float32"
    precision: str = "float32"  # "bf16" allows kernels to multiply in bfloat16
    post: Layer | None = None  # an activation that forward applies to y at once (fusion)

    def one(self, name: str) -> Operand:
        """The operand of a bottom or top that is not repeated."""
        operand = self.operands[name]
        if not isinstance(operand, Operand):
            raise TypeError(f"operand '{name}' of '{self.layer.name}' is not single")
        return operand

    def many(self, name: str) -> list[Operand]:
        """The operands of a bottom or top, as a list whether it is repeated or not."""
        operand = self.operands[name]
        if operand is None:
            return []
        return operand if isinstance(operand, list) else [operand]


class Kernel:
    """One way to compute a node on an engine."""

    name: ClassVar[str] = ""  # what the plan prints, such as "onednn"
    inplace: bool = False  # y may be x's memory and dx dy's
    posts: ClassVar[tuple[str, ...]] = ()  # layer types that forward can apply to y at once
    choice: object = None  # why the planner took it
    bound: object = None  # the arrays of the last ``bind``, in the executor's words
    bound_backward: object = None  # and of the last ``bind_backward`` after it

    def __init__(self, site: Site):
        self.site = site
        self.layer = site.layer

    @classmethod
    def refuses(cls, site: Site) -> str:
        """Why this kernel cannot compute the node; empty if it can."""
        return ""

    @classmethod
    def accepts_post(cls, site: Site, post: Layer) -> bool:
        """Whether forward can apply ``post`` to y at once, so that y holds post's top."""
        return post.type in cls.posts

    def reads(self) -> frozenset[str]:
        """Bottoms, tops and saved arrays whose values backward needs."""
        return _backward_reads(self.layer, getattr(self, "backward", None))

    def saved(self) -> Sequence[SavedSpec]:
        """Arrays that forward leaves for backward; the planner finds room for them."""
        return ()

    def note(self) -> str:
        """A word for the plan on what is done inside (a reorder, an algorithm)."""
        return ""

    def bind(
        self, arrays: Mapping[str, Any], params: Mapping[str, Param], rng: Callable[[], np.random.Generator]
    ) -> None:
        """Takes bottoms, tops, saved arrays and parameters; they stay where they are until the next bind."""
        self.arrays, self.params = arrays, params

    def bind_backward(self, arrays: Mapping[str, Any]) -> None:
        """Takes all arrays again, gradients included (``dx``, ``dy``; None where nobody asks)."""
        self.arrays = arrays

    def forward(self) -> None:
        """Writes the tops from the bottoms, ``site.post`` applied to y if there is one."""
        raise NotImplementedError

    def forward_plain(self) -> None:
        """The same without ``site.post``, for a pass that ends between the two layers."""
        self.forward()

    def measure(self) -> list[Shape]:
        """The shapes of the tops in this pass, for layers whose ``measure`` says them."""
        raise NotImplementedError

    # def backward(self) -> None: only kernels of layers with a gradient have it. ``site.post`` is not its business:
    # the gradient of the post layer was applied to dy before.


class ArrayKernel(Kernel):
    """The layer's own body on the engine's array module: always there, and the reference for all others."""

    name = "array"

    def __init__(self, site: Site, xp: Any = np):
        super().__init__(site)
        self.xp = xp
        self.inplace = self.layer.inplace
        self._forward_names = argument_names(self.layer.forward)  # type: ignore[attr-defined]
        backward = getattr(self.layer, "backward", None)
        self._backward_names = argument_names(backward) if backward else ()

    def reads(self) -> frozenset[str]:
        return _declared(self.layer) & frozenset(self._backward_names)

    def saved(self) -> Sequence[SavedSpec]:
        return self.layer.saved

    def measure(self) -> list[Shape]:
        method = self.layer.measure  # type: ignore[attr-defined]
        shapes: list[Shape] = self._call(method, argument_names(method))
        return shapes

    def forward(self) -> None:
        self._call(self.layer.forward, self._forward_names)  # type: ignore[attr-defined]
        for spec in self.layer.params:
            if not spec.learnable:  # statistics, which forward may have written
                self.params[spec.name].touch()

    def backward(self) -> None:
        self._call(self.layer.backward, self._backward_names)  # type: ignore[attr-defined]

    def _call(self, method: Callable[..., Any], names: Sequence[str]) -> Any:
        """Calls a method of the layer. What a user's layer raises gets a note that says which layer it was."""
        values = {name: self._value(name) for name in names}
        try:
            return method(**values)
        except Exception as error:
            if not isinstance(error, CaffeliteError):  # our own errors say so themselves
                self.layer.tell(error, _plain_name(method))
            raise

    def bind(
        self, arrays: Mapping[str, Any], params: Mapping[str, Param], rng: Callable[[], np.random.Generator]
    ) -> None:
        super().bind(arrays, params, rng)
        self._rng = rng

    def _value(self, name: str) -> Any:
        if name == "xp":
            return self.xp
        if name == "rng":
            return self._rng()
        if name == "blobs":
            for param in self.params.values():
                param.touch()  # the layer may write to what it is given, and another may share it
            return [param.data for param in self.params.values()]
        if name == "dblobs":
            return [self._gradient(spec.name) for spec in self.layer.params]
        if name in self.layer.absent:
            return None
        if name in self.params:
            return self._data(name)
        if name.startswith("d") and name[1:] in self.params:
            return self._gradient(name[1:])
        return self.arrays[name]

    def _data(self, name: str) -> Array:
        return self.params[name].data

    def _gradient(self, name: str) -> Array | None:
        return self.params[name].grad if self.site.learn.get(name, True) else None


def _plain_name(method: Callable[..., Any]) -> str:
    """``forward`` for ``_forward_max`` too, which a layer may have put in its place."""
    name = getattr(method, "__name__", "a method")
    return next((known for known in ("forward", "backward", "measure") if known in name), name)


def _declared(layer: Layer) -> frozenset[str]:
    names = [plain(name) for name in (*layer.bottoms, *layer.tops)]
    return frozenset([*names, *(spec.name for spec in layer.saved)])


def _backward_reads(layer: Layer, backward: Any) -> frozenset[str]:
    """Without better knowledge: everything."""
    return _declared(layer) if backward else frozenset()


class Engine(Protocol):
    """Where plans run. Engines are the only places that know oneDNN or CuPy."""

    name: str
    xp: Any
    dtype: str
    precision: str
    channels_last: bool  # 4-D activations are channels-last in memory
    remote: bool  # arrays lie in memory of a device, and users see mirrors of them

    def kernels(self, type_: str) -> Sequence[type[Kernel]]:
        """Kernels for a layer type, best first, without the array body."""
        ...

    def absent(self, type_: str) -> str:
        """Why ``kernels`` is empty for a type: no kernel written, or a library missing."""
        ...

    def make_kernel(self, cls: type[Kernel] | None, site: Site) -> Kernel:
        """A kernel for a site; None stands for the layer's own body on arrays of the engine."""
        ...

    def compute(self) -> AbstractContextManager[None]:
        """What a pass runs inside: thread counts, flush-to-zero."""
        ...

    def empty(self, nbytes: int) -> Array:
        """Uninitialised bytes, aligned for the engine."""
        ...

    def to_host(self, array: Array) -> Array:
        """An array of the engine in this process's memory: itself where the engine computes there, else a copy."""
        ...

    def put(self, target: Array, values: Array) -> None:
        """Copies values from this process's memory into an array of the engine."""
        ...

    def memory_limit(self) -> int:
        """Bytes of memory that the engine may ever have."""
        ...

    def compile(self, calls: Sequence[Callable[[], None]]) -> Callable[[], None]:
        """The calls of a pass as one, made once for as long as all arrays stay where they are."""
        ...

    def synchronize(self) -> None:
        """Waits until all work that was given to the engine is done."""
        ...


def _run_all(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()


class HostEngine:
    """What engines have in common that compute in this process's memory, on NumPy arrays."""

    xp: Any = np
    remote = False

    def make_kernel(self, cls: type[Kernel] | None, site: Site) -> Kernel:
        return cls(site) if cls else ArrayKernel(site, np)

    def to_host(self, array: Array) -> Array:
        return array

    def put(self, target: Array, values: Array) -> None:
        target[...] = values

    def compile(self, calls: Sequence[Callable[[], None]]) -> Callable[[], None]:
        return partial(_run_all, calls)

    def synchronize(self) -> None:
        """Nothing: calls return when their work is done."""


def operands_of(operands: Mapping[str, Operands]) -> Iterator[Operand]:
    """All operands in order, lists opened."""
    for operand in operands.values():
        if isinstance(operand, list):
            yield from operand
        elif operand is not None:
            yield operand


def is_channels_last(operand: Operand) -> bool:
    """Whether the memory order is N, H, W, C; true as well where both orders are the same."""
    if operand.layout == CHANNELS_LAST or len(operand.shape) < 3:
        return True
    return operand.shape[1] == 1 or count(operand.shape, 2) == 1


def is_plain(operand: Operand) -> bool:
    """Whether the memory is in C order."""
    return operand.layout == PLAIN or is_channels_last(replace(operand, layout=PLAIN))


def common_layout(site: Site) -> str | None:
    """The memory order that all blobs of a layer have; ``None`` if there is no such."""
    operands = list(operands_of(site.operands))
    if all(is_channels_last(operand) for operand in operands):
        return CHANNELS_LAST
    return PLAIN if all(is_plain(operand) for operand in operands) else None


MIXED = "its blobs differ in memory order"


def kernels_in(package: str, type_: str) -> tuple[type[Kernel], ...]:
    """The kernels that an engine's package has for a layer type: ``KERNELS`` of the module with the layer's name."""
    name = module_name(type_)
    module = f"{package}.{name}"
    if name is None or find_spec(module) is None:
        return ()
    kernels: tuple[type[Kernel], ...] = importlib.import_module(module).KERNELS
    return kernels
