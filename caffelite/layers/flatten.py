"""Flatten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape, count


class Flatten(Layer):
    """The axes from ``axis`` (1) to ``end_axis`` (-1), both included, become one, in C order.

    Bottoms: x, any shape.
    Tops:    y, the same elements.
    Raises:  NetError for axes out of range or in the wrong order.
    Example: x (2, 3, 4, 4)
    Source:  BVLC Caffe, flatten_layer.cpp.
    """

    message: ClassVar[str] = "flatten_param"
    view: ClassVar[bool] = True

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        start, end = self.axis(self.p.axis, len(x)), self.axis(self.p.end_axis, len(x), "end_axis")
        if start > end + 1:  # one past the end inserts an axis of size 1, as in Caffe
            raise self.error("axis <= end_axis + 1", f"axis {start}, end_axis {end}", field="end_axis")
        return [(*x[:start], count(x, start, end + 1), *x[end + 1 :])]

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        y[...] = x.reshape(y.shape)

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = dy.reshape(dx.shape)
