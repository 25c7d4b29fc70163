"""SmoothL1LossOHEM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._loss import Normalizer
from caffelite.layers._smooth_l1 import check_alike, difference, slope, smooth_l1, weighted
from caffelite.layers.base import Layer
from caffelite.types import Shape, count


class SmoothL1LossOHEM(Layer):
    """SmoothL1Loss (sigma 1) that also gives the loss of each item, for BoxAnnotatorOHEM to choose by.

    y = sum of f(inside * (x - target)) / Z. Z is set by ``loss_param.normalization``: VALID (default) and FULL the
    places, N times spatial sizes; BATCH_SIZE N; NONE 1; PRE_FIXED ``pre_fixed_normalizer``.

    Bottoms: x (N, C, *S); target, inside as x.
    Tops:    y (), with loss weight 1 if none is given; losses (N, 1, H, W), summed over channels.
    Gradient: of y to x and target; none to the weights, none from losses.
    Raises:  ShapeError unless all bottoms are alike.
    Example: x (2, 4, 1, 1), target (2, 4, 1, 1) -> loss, losses
    Source:  py-R-FCN, smooth_L1_loss_ohem_layer.cu (no CPU version).
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "target", "inside?")
    tops: ClassVar[tuple[str, ...]] = ("y", "losses?")
    message: ClassVar[str] = "loss_param"
    loss: ClassVar[bool] = True
    unforced: ClassVar[tuple[str, ...]] = ("inside",)
    extensions: ClassVar[tuple[str, ...]] = ("pre_fixed_normalizer",)

    def setup(self) -> None:
        self.normalizer = Normalizer(self, default="VALID")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, *others = shapes
        if not 2 <= len(x) <= 4:
            raise self.shape_error("x (N, C), (N, C, H) or (N, C, H, W)", f"x={x}")
        check_alike(self, x, **dict(zip(("target", "inside"), others, strict=False)))
        places = x[0] * count(x, 2)
        self.divisor = self.normalizer.divisor(x[0], places, places)
        return [(), (x[0], 1, *x[2:], *(1,) * (4 - len(x)))]

    def forward(self, xp: Any, x: Any, target: Any, inside: Any, y: Any, losses: Any) -> None:
        values = smooth_l1(xp, difference(x, target, inside), 1)
        y[...] = values.sum() / self.divisor
        if losses is not None:
            losses[...] = values.sum(axis=1).reshape(losses.shape)

    def backward(self, xp: Any, x: Any, target: Any, inside: Any, dy: Any, dx: Any, dtarget: Any) -> None:
        gradient = weighted(slope(xp, difference(x, target, inside), 1), inside) * (float(dy) / self.divisor)
        if dx is not None:
            dx[...] = gradient
        if dtarget is not None:
            dtarget[...] = -gradient.reshape(dtarget.shape)
