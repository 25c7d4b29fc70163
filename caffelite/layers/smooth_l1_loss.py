"""SmoothL1Loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._smooth_l1 import check_alike, difference, slope, smooth_l1, weighted
from caffelite.layers.base import Layer
from caffelite.types import Shape


class SmoothL1Loss(Layer):
    """y = sum of outside * f(inside * (x - target)) / N, f(d) = 0.5 (sigma d)^2 near 0, abs(d) - 0.5 / sigma^2 beyond.

    N is the first axis of x alone: 1 for what a region proposal net gives, (1, 4A, H, W). f is straight where
    abs(d) >= 1 / sigma^2. ``smooth_l1_loss_param.sigma`` is 1 if not given. The one layer reads all dialects: two
    bottoms, three with weights (Fast R-CNN, SSD), or four with both weights (Faster R-CNN, R-FCN, Intel).

    Bottoms: x (N, *S); target, inside, outside as x.
    Tops:    y (), with loss weight 1 if none is given.
    Gradient: to x and target; none to the weights.
    Raises:  ShapeError unless all bottoms are alike; NetError unless sigma > 0.
    Example: x [[1, 2], [3, 4]], target [[1, 2.5], [3, 6]]
    Source:  py-faster-rcnn, smooth_L1_loss_layer.cu. Girshick, "Fast R-CNN", 2015.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "target", "inside?", "outside?")
    message: ClassVar[str] = "smooth_l1_loss_param"
    loss: ClassVar[bool] = True
    unforced: ClassVar[tuple[str, ...]] = ("inside", "outside")

    def setup(self) -> None:
        if not self.p.sigma > 0:
            raise self.error("sigma > 0", self.p.sigma, field="sigma")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, *others = shapes
        check_alike(self, x, **dict(zip(("target", "inside", "outside"), others, strict=False)))
        self.items = max(1, x[0])
        return [()]

    def forward(self, xp: Any, x: Any, target: Any, inside: Any, outside: Any, y: Any) -> None:
        values = smooth_l1(xp, difference(x, target, inside), self.p.sigma)
        y[...] = weighted(values, outside).sum() / self.items

    def backward(
        self, xp: Any, x: Any, target: Any, inside: Any, outside: Any, dy: Any, dx: Any, dtarget: Any
    ) -> None:
        gradient = weighted(slope(xp, difference(x, target, inside), self.p.sigma), inside)
        gradient = weighted(gradient, outside) * (float(dy) / self.items)
        if dx is not None:
            dx[...] = gradient
        if dtarget is not None:
            dtarget[...] = -gradient.reshape(dtarget.shape)
