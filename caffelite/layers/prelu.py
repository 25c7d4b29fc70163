"""PReLU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._affine import along, sum_to
from caffelite.layers.base import Layer
from caffelite.types import Shape


class PReLU(Layer):
    """y = max(x, 0) + W * min(x, 0) with a learned slope for each channel, or one for all.

    Bottoms: x (N, C, *S).
    Tops:    y, as x.
    Params:  W (C,), or () with ``channel_shared: true``; 0.25 without a filler.
    Gradient: at x = 0 as for x < 0.
    Raises:  ShapeError if x has fewer than 2 axes.
    Example: x (1, 2, 3, 3)
    Source:  BVLC Caffe, prelu_layer.cpp. He et al., "Delving deep into rectifiers", 2015.
    """

    message: ClassVar[str] = "prelu_param"
    inplace: ClassVar[bool] = True

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if len(x) < 2:
            raise self.shape_error("x (N, C, *S) with at least 2 axes", f"x={x}")
        self.param("W", () if self.p.channel_shared else (x[1],), self.filler(), value=0.25)
        return [x]

    def forward(self, xp: Any, x: Any, y: Any, W: Any) -> None:
        y[...] = xp.where(x > 0, x, along(W, 1, x.ndim) * x)

    def backward(self, xp: Any, x: Any, W: Any, dy: Any, dx: Any, dW: Any) -> None:
        if dW is not None:
            dW += sum_to(dW, dy * xp.minimum(x, 0), 1)
        if dx is not None:
            dx[...] = xp.where(x > 0, dy, along(W, 1, x.ndim) * dy)
