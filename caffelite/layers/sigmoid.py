"""Sigmoid."""

from __future__ import annotations

from typing import Any, ClassVar

from caffelite.layers._elementwise import Elementwise


class Sigmoid(Elementwise):
    """y = 1 / (1 + exp(-x)), computed as tanh(x / 2) / 2 + 1/2, which cannot overflow.

    Bottoms: x, any shape.
    Tops:    y, as x.
    Example: x [[0, 2]]
    Source:  BVLC Caffe, sigmoid_layer.cpp.
    """

    message: ClassVar[str] = "sigmoid_param"

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        sigmoid(xp, x, y)

    def backward(self, xp: Any, y: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            xp.multiply(dy, y * (1 - y), out=dx)


def sigmoid(xp: Any, x: Any, y: Any) -> None:
    """Writes the logistic function of x to y."""
    xp.multiply(x, 0.5, out=y)
    xp.tanh(y, out=y)
    y *= 0.5
    y += 0.5
