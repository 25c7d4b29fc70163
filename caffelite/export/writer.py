"""What the form of a layer writes with.

A form is a function that says a layer in ONNX operators. It is found by the type of the layer, takes a
:class:`Writer` and those of the layer's bottoms and parameters that it names, by the names that the layer declares,
and returns the tensor of its top (a list for several)::

    @form("Cube")
    def cube(to, x):
        return to.op("Pow", to.op("Mul", x, to.layer.p.scale), 3.0)

Bottoms are tensors with a ``shape`` (lists for ``x*``, None for absent ones); parameters are float32 arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from caffelite.errors import CaffeliteError
from caffelite.export.tensors import Array, Draft, Op, Tensor, as_array
from caffelite.layers.base import Layer
from caffelite.types import Shape

_TYPES = {"float32": 1, "int64": 7, "bool": 9}  # TensorProto.DataType

Operand = Tensor | Array | float | Sequence[int] | None


class Inexpressible(CaffeliteError):
    """A layer that ONNX cannot express, with the reason."""


class Writer:
    """Writes the operators of one layer.

    Attributes:
        layer: the layer, its shapes inferred.
        tops: sizes of its tops, -1 for those that follow a batch of any size.
        opset: version of the ONNX operators.
        symbolic: whether the first axis of the inputs may have any size when the model runs.
    """

    def __init__(self, draft: Draft, layer: Layer, tops: list[Shape], opset: int, symbolic: bool):
        self.draft, self.tops = draft, tops
        self.layer: Any = layer  # a form knows of which class
        self.opset, self.symbolic = opset, symbolic

    @property
    def p(self) -> Any:
        """The layer's own parameter message."""
        return self.layer.p

    def op(self, type_: str, *inputs: Operand, **attributes: Any) -> Tensor:
        """One operator and its output. Numbers, sequences of whole numbers and arrays become constants."""
        return self.ops(type_, 1, *inputs, **attributes)[0]

    def ops(self, type_: str, outputs: int, *inputs: Operand, **attributes: Any) -> list[Tensor]:
        """One operator and its outputs."""
        made = [Tensor() for _ in range(outputs)]
        given = [self._operand(value) for value in inputs]
        while given and given[-1] is None:
            given.pop()
        self.draft.ops.append(Op(type_, given, made, attributes, self.layer.name))
        return made

    def _operand(self, value: Operand) -> Tensor | None:
        if value is None or isinstance(value, Tensor):
            return value
        return self.draft.constant(as_array(value))

    def constant(self, array: Array) -> Tensor:
        """A tensor that is always the same."""
        return self.draft.constant(as_array(array))

    def note(self, text: str) -> None:
        """Tells the user something about the layer in the report."""
        self.draft.notes.append(f"layer '{self.layer.name}' ({self.layer.type}): {text}")

    def refuse(self, reason: str) -> Inexpressible:
        """The error that says why the layer has no form: ``raise to.refuse("...")``."""
        return Inexpressible(reason)

    def fixed_batch(self) -> None:
        """Raises Inexpressible if the first axis of the inputs may have any size."""
        if self.symbolic:
            raise self.refuse("the batch must be fixed for it")

    def fixed(self, x: Tensor, axes: Iterable[int], what: str = "counts places along") -> None:
        """Raises Inexpressible if the size of a bottom along one of these axes follows a batch of any size."""
        if any(x.dims[axis] == -1 for axis in axes):
            raise self.refuse(f"it {what} the batch, which must therefore be fixed")

    # -- what many forms need ---------------------------------------------------------------------------

    def cast(self, x: Operand, dtype: str) -> Tensor:
        """x as float32, int64 or bool."""
        return self.op("Cast", x, to=_TYPES[dtype])

    def reshape(self, x: Operand, shape: Sequence[int]) -> Tensor:
        """x in another shape: 0 keeps the dim of x at that place, one -1 takes what is left."""
        if tuple(shape).count(-1) > 1:
            raise self.refuse("two sizes of a shape follow the batch, which must therefore be fixed")
        return self.op("Reshape", x, tuple(shape))

    def like_top(self, x: Operand, top: int = 0) -> Tensor:
        """x in the shape of a top."""
        return self.reshape(x, self.tops[top])

    def mean(self, x: Operand, axes: Sequence[int], keepdims: bool = True) -> Tensor:
        """The mean over axes; from opset 18 on they are an input."""
        if not axes:
            return self.op("Identity", x)
        if self.opset < 18:
            return self.op("ReduceMean", x, axes=list(axes), keepdims=int(keepdims))
        return self.op("ReduceMean", x, tuple(axes), keepdims=int(keepdims))

    def total(self, x: Operand, axes: Sequence[int], keepdims: bool = True) -> Tensor:
        """The sum over axes."""
        if not axes:
            return self.op("Identity", x)
        return self.op("ReduceSum", x, tuple(axes), keepdims=int(keepdims))

    def scaled(self, x: Tensor, factor: float = 1.0, offset: float = 0.0) -> Tensor:
        """factor * x + offset, without the operators that would change nothing."""
        if factor != 1:
            x = self.op("Mul", x, factor)
        return self.op("Add", x, offset) if offset else x

    def stretched(self, small: Tensor, axis: int, ndim: int) -> Tensor:
        """A tensor that lies along the axes from ``axis`` on, ready to broadcast against ``ndim`` axes."""
        missing = ndim - axis - len(small.known)
        if not small.known or not missing:
            return small
        return self.op("Unsqueeze", small, tuple(range(len(small.known), len(small.known) + missing)))
