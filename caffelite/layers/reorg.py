"""Reorg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape


class Reorg(Layer):
    """Trades places for channels, s = ``stride``; ``reverse: true`` trades channels for places.

    The order is Darknet's, which YOLO v2 was trained with. It is not the plain space-to-depth: Darknet takes the
    numbers of x (N, C, H, W) for an array of C / s^2 channels and s H x s W places, puts the s x s places of each
    block into channels [row, column, channel], and takes the C x H x W numbers that come out for the top. The
    reverse is the plain depth-to-space of channels [row, column, channel], and so not the inverse.

    Bottoms: x (N, C, H, W).
    Tops:    y (N, C s^2, H / s, W / s); reversed (N, C / s^2, s H, s W).
    Gradient: dy put back (the forks' own backward pass reads a blob that nothing writes).
    Raises:  NetError without a stride; ShapeError if C is no multiple of s^2, or H or W none of s.
    Source:  reorg_layer.cpp of MobileNet-YOLO and of Caffe-YOLOv2. Redmon and Farhadi, "YOLO9000", 2017.
    Example: x (1, 4, 4, 4); reorg_param { stride: 2 }
    """

    message: ClassVar[str] = "reorg_param"

    def setup(self) -> None:
        self.stride = s = int(self.p.stride)
        if s < 1:
            raise self.error("stride >= 1", s, "set reorg_param.stride", "stride")
        # [.., row in block, .., column in block] to [row, column, ..], and back
        self.order = (0, 3, 4, 1, 5, 2) if self.p.reverse else (0, 3, 5, 1, 2, 4)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, s = shapes[0], self.stride
        if len(x) != 4 or x[1] % (s * s) or not (self.p.reverse or x[2] % s == x[3] % s == 0):
            places = "" if self.p.reverse else f", H and W of {s}"
            raise self.shape_error(f"x (N, C, H, W) with C in multiples of {s * s}{places}", f"x={x}")
        n, c, h, w = x
        few = c // (s * s)
        self.inner = (n, s, s, few, h, w) if self.p.reverse else (n, few, h, s, w, s)
        return [(n, few, h * s, w * s) if self.p.reverse else (n, c * s * s, h // s, w // s)]

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        y[...] = x.reshape(self.inner).transpose(self.order).reshape(y.shape)

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            outer = tuple(self.inner[axis] for axis in self.order)
            back = [self.order.index(axis) for axis in range(len(self.order))]
            dx[...] = dy.reshape(outer).transpose(back).reshape(dx.shape)
