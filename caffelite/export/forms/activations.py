"""Layers that take each element by itself."""

from __future__ import annotations

from math import inf

from caffelite.export.forms import form
from caffelite.export.tensors import Array, Tensor
from caffelite.export.writer import Writer
from caffelite.layers._affine import along


@form("ReLU")
def relu(to: Writer, x: Tensor) -> Tensor:
    slope = float(to.p.negative_slope)
    return to.op("LeakyRelu", x, alpha=slope) if slope else to.op("Relu", x)


@form("ReLU6")
def relu6(to: Writer, x: Tensor) -> Tensor:
    return to.op("Min", relu(to, x), 6.0) if to.p.negative_slope else to.op("Clip", x, 0.0, 6.0)


@form("PReLU")
def prelu(to: Writer, x: Tensor, W: Array) -> Tensor:
    return to.op("PRelu", x, along(W, 1, len(x.known)))


@form("ELU")
def elu(to: Writer, x: Tensor) -> Tensor:
    return to.op("Elu", x, alpha=float(to.p.alpha))


@form("Sigmoid")
def sigmoid(to: Writer, x: Tensor) -> Tensor:
    return to.op("Sigmoid", x)


@form("TanH")
def tanh(to: Writer, x: Tensor) -> Tensor:
    return to.op("Tanh", x)


@form("AbsVal")
def abs_val(to: Writer, x: Tensor) -> Tensor:
    return to.op("Abs", x)


@form("BNLL")
def bnll(to: Writer, x: Tensor) -> Tensor:
    return to.op("Softplus", x)


@form("Power")
def power(to: Writer, x: Tensor) -> Tensor:
    inner = to.scaled(x, to.p.scale, to.p.shift)
    return inner if to.p.power == 1 else to.op("Pow", inner, to.p.power)


@form("Exp")
def exp(to: Writer, x: Tensor) -> Tensor:
    if to.layer.outer in (0, inf):
        raise to.refuse(f"base^shift is {to.layer.outer:g} in float32")
    return to.scaled(to.op("Exp", to.scaled(x, to.layer.inner)), to.layer.outer)


@form("Log")
def log(to: Writer, x: Tensor) -> Tensor:
    return to.scaled(to.op("Log", to.scaled(x, to.p.scale, to.p.shift)), to.layer.outer)


@form("Clip")
def clip(to: Writer, x: Tensor) -> Tensor:
    return to.op("Clip", x, to.p.min, to.p.max)


@form("Swish")
def swish(to: Writer, x: Tensor) -> Tensor:
    return to.op("Mul", x, to.op("Sigmoid", to.scaled(x, to.p.beta)))


@form("Threshold")
def threshold(to: Writer, x: Tensor) -> Tensor:
    return to.cast(to.op("Greater", x, to.p.threshold), "float32")


@form("Dropout", "SpatialDropout")
def dropout(to: Writer, x: Tensor) -> Tensor:
    if to.layer.active:
        raise to.refuse("it draws random numbers in phase TEST too")
    return to.scaled(x, to.layer.scale)


@form("Softmax")
def softmax(to: Writer, x: Tensor) -> Tensor:
    return to.op("Softmax", x, axis=to.layer.over)
