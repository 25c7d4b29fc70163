"""Layers that multiply with a matrix, or look up in one; and where tensors begin."""

from __future__ import annotations

from caffelite.export.forms import form
from caffelite.export.tensors import Array, Tensor
from caffelite.export.writer import Writer


@form("InnerProduct")
def inner_product(to: Writer, x: Tensor, W: Array, b: Array | None) -> Tensor:
    axis = to.p.axis % len(x.known)
    if axis == 1:
        rows = x if len(x.known) == 2 else to.op("Flatten", x, axis=1)
        return to.op("Gemm", rows, W, b, transB=int(not to.p.transpose))
    rows = to.reshape(x, (*(0,) * axis, -1))
    y = to.op("MatMul", rows, W if to.p.transpose else W.T)
    return y if b is None else to.op("Add", y, b)


@form("Embed")
def embed(to: Writer, x: Tensor, W: Array, b: Array | None) -> Tensor:
    y = to.op("Gather", W, to.cast(x, "int64"), axis=0)
    return y if b is None else to.op("Add", y, b)


@form("Input")
def input_(to: Writer) -> list[Tensor]:
    tops = [Tensor(shape) for shape in to.tops]
    to.draft.inputs += tops
    return tops


@form("Parameter")
def parameter(to: Writer, W: Array) -> Tensor:
    return to.constant(W)
