"""Clip."""

from __future__ import annotations

from typing import Any, ClassVar

from caffelite.layers._elementwise import Elementwise


class Clip(Elementwise):
    """y = x, but at least min and at most max.

    Bottoms: x, any shape.
    Tops:    y, as x.
    Gradient: 1 where min <= x <= max, both included, else 0.
    Raises:  NetError without clip_param (Caffe outputs zeros) or if min > max.
    Example: x [[1, -2, 7]]; clip_param { min: -1 max: 6 }
    Source:  BVLC Caffe, clip_layer.cpp.
    """

    message: ClassVar[str] = "clip_param"

    def setup(self) -> None:
        p = self.p
        if not self.spec.HasField("clip_param"):
            raise self.error("clip_param", "none", "add clip_param { min: ... max: ... }")
        if p.min > p.max:
            raise self.error("min <= max", f"min {p.min:g}, max {p.max:g}", field="min")

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        xp.clip(x, self.p.min, self.p.max, out=y)

    def backward(self, xp: Any, x: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            xp.multiply(dy, (x >= self.p.min) & (x <= self.p.max), out=dx)
