"""Softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape


def softmax(xp: Any, x: Any, axis: int, y: Any) -> None:
    """y = exp(x) / sum of exp(x) over an axis, the largest subtracted first so that nothing overflows."""
    xp.subtract(x, x.max(axis=axis, keepdims=True, initial=-float("inf")), out=y)
    xp.exp(y, out=y)
    y /= y.sum(axis=axis, keepdims=True)


class Softmax(Layer):
    """Probabilities over ``axis``: y = exp(x) / sum of exp(x), for each item and place.

    Bottoms: x, any shape with at least ``axis`` + 1 axes.
    Tops:    y, as x.
    Example: x [[1, 2, 3]]
    Source:  BVLC Caffe, softmax_layer.cpp.
    """

    message: ClassVar[str] = "softmax_param"
    inplace: ClassVar[bool] = True

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        self.over = self.axis(self.p.axis, len(shapes[0]))
        return [shapes[0]]

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        softmax(xp, x, self.over, y)

    def backward(self, xp: Any, y: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            shared = (dy * y).sum(axis=self.over, keepdims=True)
            xp.subtract(dy, shared, out=dx)
            dx *= y
