"""An ONNX graph while it is being written: tensors, operators, and what they are called in the end.

Plain Python objects, so that forms of layers can be written and tested without the ``onnx`` package, and names
are given when everything is there: a blob's tensor is called as the blob, whatever led to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from caffelite.types import Shape

Array = npt.NDArray[Any]


@dataclass(eq=False)
class Tensor:
    """A value of the graph. Constants have an ``array``; blobs and constants know their sizes.

    ``dims`` are the sizes with -1 for those that follow a batch of any size.
    """

    shape: Shape | None = None
    dims: Shape = ()
    array: Array | None = None
    name: str = ""

    @property
    def known(self) -> Shape:
        """The shape of a blob or constant."""
        if self.shape is None:
            raise ValueError(f"the shape of '{self.name}', an intermediate tensor, is not tracked")
        return self.shape


@dataclass(eq=False)
class Op:
    """One ONNX operator. ``layer`` is the layer that it is a part of; an input of None is left out."""

    type: str
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    attributes: dict[str, Any]
    layer: str
    name: str = ""


@dataclass
class Draft:
    """All operators in order, the tensors that come in and go out, and what a user should know."""

    ops: list[Op] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _memory: dict[tuple[Any, ...], Tensor] = field(default_factory=dict)

    def constant(self, array: Array) -> Tensor:
        """A constant; shared parameters, which are one memory, become one constant.

        The array is kept, so that no other takes its place in memory.
        """
        array = np.asarray(array, order="C")
        key = (array.__array_interface__["data"][0], array.shape, array.dtype.str)
        if not array.size or key not in self._memory:
            self._memory[key] = Tensor(array.shape, array.shape, array)
        return self._memory[key]

    def constants(self) -> list[Tensor]:
        """The constants in use, in the order of their first use."""
        used = (tensor for op in self.ops for tensor in op.inputs if tensor is not None)
        return list(dict.fromkeys(tensor for tensor in used if tensor.array is not None))

    def prune(self) -> None:
        """Drops operators that lead to no output, and inputs that nothing reads then."""
        wanted = set(self.outputs)
        kept = []
        for op in reversed(self.ops):
            if wanted.intersection(op.outputs):
                kept.append(op)
                wanted.update(tensor for tensor in op.inputs if tensor is not None)
        self.ops = kept[::-1]
        self.inputs = [tensor for tensor in self.inputs if tensor in wanted]

    def name_all(self) -> None:
        """Names what has no name yet: constants ``conv1.0``, tensors between operators ``pool1/Pad``; and operators."""
        taken = {tensor.name for tensor in self._tensors()}
        numbers: dict[str, int] = {}
        names: set[str] = set()
        for op in self.ops:
            op.name = _free(op.layer if op.outputs[0].name else f"{op.layer}/{op.type}", names)
            for tensor in op.inputs:
                if tensor is not None and tensor.array is not None and not tensor.name:
                    number = numbers.setdefault(op.layer, 0)
                    numbers[op.layer] += 1
                    tensor.name = _free(f"{op.layer}.{number}", taken)
            for tensor in op.outputs:
                tensor.name = tensor.name or _free(f"{op.layer}/{op.type}", taken)

    def _tensors(self) -> Iterator[Tensor]:
        yield from self.inputs
        for op in self.ops:
            yield from op.outputs


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number behind it if it is taken; now it is."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    taken.add(free)
    return free


def as_array(value: Array | float | Sequence[int]) -> Array:
    """A constant operand: numbers become float32, sequences of whole numbers int64, arrays stay."""
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind != "f" else value.astype(np.float32, copy=False)
    if isinstance(value, float | int):
        return np.array(value, np.float32)
    return np.array(value, np.int64)
