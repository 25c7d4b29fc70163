"""Layers that combine tensors element by element, and sums."""

from __future__ import annotations

from functools import reduce
from typing import Any

from caffelite.export.forms import form
from caffelite.export.tensors import Array, Tensor
from caffelite.export.writer import Operand, Writer
from caffelite.layers._affine import along


@form("Scale")
def scale(to: Writer, x: Tensor, scale: Tensor | None, W: Array | None, b: Array | None) -> Tensor:
    y = to.op("Mul", x, _operand(to, x, W if scale is None else scale))
    return y if b is None else to.op("Add", y, _operand(to, x, b))


@form("Bias")
def bias(to: Writer, x: Tensor, bias: Tensor | None, b: Array | None) -> Tensor:
    return to.op("Add", x, _operand(to, x, b if bias is None else bias))


def _operand(to: Writer, x: Tensor, small: Any) -> Operand:
    """A tensor or a parameter that lies along x from the layer's axis on."""
    stretched = to.stretched if isinstance(small, Tensor) else along
    operand: Operand = stretched(small, to.layer.start, len(x.known))
    return operand


@form("Eltwise")
def eltwise(to: Writer, x: list[Tensor]) -> Tensor:
    if to.layer.operation == "MAX":
        return to.op("Max", *x)
    if to.layer.operation == "PROD":
        return reduce(lambda y, xi: to.op("Mul", y, xi), x)
    terms = [to.scaled(xi, coeff) for xi, coeff in zip(x, to.layer.coeffs, strict=True)]
    return reduce(lambda y, term: to.op("Add", y, term), terms)


@form("Reduction")
def reduction(to: Writer, x: Tensor) -> Tensor:
    if to.layer.operation == "MEAN":
        y = to.mean(x, to.layer.over, keepdims=False)
    else:
        terms = {"ASUM": lambda: to.op("Abs", x), "SUMSQ": lambda: to.op("Mul", x, x)}
        y = to.total(terms.get(to.layer.operation, lambda: x)(), to.layer.over, keepdims=False)
    return to.scaled(y, to.p.coeff)


@form("Axpy")
def axpy(to: Writer, a: Tensor, x: Tensor, shift: Tensor) -> Tensor:
    ones = (1,) * (len(x.known) - 2)
    return to.op("Add", to.op("Mul", to.reshape(a, (0, 0, *ones)), x), shift)
