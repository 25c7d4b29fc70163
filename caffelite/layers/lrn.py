"""LRN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer, enum_name
from caffelite.types import Shape


class LRN(Layer):
    """Local response normalization: y = x * s^-beta with s = k + alpha / n * (sum of x^2 over a window).

    ACROSS_CHANNELS: the window is ``local_size`` channels, n = local_size. WITHIN_CHANNEL: it is local_size x
    local_size places of one channel, n = local_size^2 at borders as well, and ``k`` is 1 whatever is written.

    Bottoms: x (N, C, H, W).
    Tops:    y, as x.
    Raises:  NetError if local_size is even; ShapeError unless x has 4 axes.
    Example: x (1, 8, 3, 3); lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }
    Source:  BVLC Caffe, lrn_layer.cpp. Krizhevsky et al., "ImageNet classification with deep convolutional
             neural networks", 2012, section 3.3.
    """

    message: ClassVar[str] = "lrn_param"

    def setup(self) -> None:
        size = self.p.local_size
        if size % 2 == 0:
            raise self.error("an odd local_size", size, f"use {size + 1}", "local_size")
        across = enum_name(self.p, "norm_region") == "ACROSS_CHANNELS"
        self.axes: tuple[int, ...] = (1,) if across else (2, 3)
        self.k = float(self.p.k) if across else 1.0
        self.share = float(self.p.alpha) / size ** len(self.axes)
        self.beta = float(self.p.beta)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        if len(shapes[0]) != 4:
            raise self.shape_error("x (N, C, H, W)", f"x={shapes[0]}")
        self.save("s", shapes[0])
        return [shapes[0]]

    def forward(self, xp: Any, x: Any, y: Any, s: Any) -> None:
        size = self.k + self.share * self._window_sum(xp, x * x)
        xp.multiply(x, size**-self.beta, out=y)
        s[...] = size

    def backward(self, xp: Any, x: Any, y: Any, s: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            size = xp.empty_like(x)  # in x's layout, which s need not have
            size[...] = s
            ratio = self._window_sum(xp, dy * y / size)
            dx[...] = dy * size**-self.beta - 2 * self.share * self.beta * x * ratio

    def _window_sum(self, xp: Any, values: Any) -> Any:
        for axis in self.axes:
            values = _sum_along(xp, values, axis, self.p.local_size // 2)
        return values


def _sum_along(xp: Any, values: Any, axis: int, reach: int) -> Any:
    """Sums over windows of 2 reach + 1 along an axis, zeros beyond its ends."""
    total = values.copy()
    size = values.shape[axis]
    for shift in range(1, min(reach, size - 1) + 1):
        low = (*(slice(None),) * axis, slice(0, size - shift))
        high = (*(slice(None),) * axis, slice(shift, size))
        total[low] += values[high]
        total[high] += values[low]
    return total
