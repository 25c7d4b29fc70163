"""SoftmaxWithLossOHEM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.softmax_with_loss import SoftmaxWithLoss
from caffelite.types import Shape


class SoftmaxWithLossOHEM(SoftmaxWithLoss):
    """SoftmaxWithLoss that also gives the loss of each label, for BoxAnnotatorOHEM to choose by.

    Bottoms, gradient, errors: as SoftmaxWithLoss.
    Tops:    y (); prob as x; losses, as label with ones up to four axes: 0 for ignored labels. Only y has a gradient.
             ``normalization: PRE_FIXED`` divides y by ``pre_fixed_normalizer``.
    Example: x [[1, 2, 3], [0, 0, 0]], label [2, 0] -> loss, prob, losses
    Source:  py-R-FCN, softmax_loss_ohem_layer.cu (no CPU version). Shrivastava et al., "Training Region-based Object
             Detectors with Online Hard Example Mining", 2016.
    """

    tops: ClassVar[tuple[str, ...]] = ("y", "prob?", "losses?")
    extensions: ClassVar[tuple[str, ...]] = (*SoftmaxWithLoss.extensions, "pre_fixed_normalizer")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        label = shapes[1]
        return [*super().infer(shapes), (*label, *(1,) * (4 - len(label)))]

    def forward(  # type: ignore[override]  # names are the declaration, and there is one more top
        self, xp: Any, x: Any, label: Any, weight: Any, y: Any, prob: Any, losses: Any, p: Any
    ) -> None:
        labels = self._labels(xp, label, x.shape)
        each = self._losses(xp, x, labels, weight, p)
        y[...] = each.sum() / self._divisor(labels, x.shape)
        if prob is not None:
            prob[...] = p
        if losses is not None:
            losses[...] = each.reshape(losses.shape)
