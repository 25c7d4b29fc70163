"""MVN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape


class MVN(Layer):
    """y = (x - mean) / (standard deviation + eps), for each channel of each item.

    ``across_channels: true`` takes each item whole. ``normalize_variance: false`` only subtracts the
    mean. The variance is the biased one.

    Bottoms: x (N, C, *S).
    Tops:    y, as x.
    Gradient: as if eps were 0 next to the deviation, which is what Caffe computes.
    Raises:  ShapeError if x has fewer than 2 axes.
    Example: x (2, 3, 4, 4)
    Source:  BVLC Caffe, mvn_layer.cpp.
    """

    message: ClassVar[str] = "mvn_param"
    inplace: ClassVar[bool] = True

    def setup(self) -> None:
        if not self.p.normalize_variance:
            self.forward = self._forward_mean  # type: ignore[method-assign,assignment]
            self.backward = self._backward_mean  # type: ignore[method-assign,assignment]

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if len(x) < 2:
            raise self.shape_error("x (N, C, *S) with at least 2 axes", f"x={x}")
        first = 1 if self.p.across_channels else 2
        self.over = tuple(range(first, len(x)))
        if self.p.normalize_variance:
            self.save("deviation", (*x[:first], *(1,) * len(self.over)))
        return [x]

    def forward(self, xp: Any, x: Any, y: Any, deviation: Any) -> None:
        xp.subtract(x, x.mean(axis=self.over, keepdims=True), out=y)
        deviation[...] = xp.sqrt((y * y).mean(axis=self.over, keepdims=True)) + self.p.eps
        y /= deviation

    def backward(self, xp: Any, y: Any, deviation: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            shared = dy.mean(axis=self.over, keepdims=True) + y * (y * dy).mean(axis=self.over, keepdims=True)
            xp.subtract(dy, shared, out=dx)
            dx /= deviation

    def _forward_mean(self, xp: Any, x: Any, y: Any) -> None:
        xp.subtract(x, x.mean(axis=self.over, keepdims=True), out=y)

    def _backward_mean(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            xp.subtract(dy, dy.mean(axis=self.over, keepdims=True), out=dx)
