"""MultinomialLogisticLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._loss import SMALLEST_PROBABILITY, Labels, check_labels
from caffelite.layers.base import Layer
from caffelite.types import Shape, count


class MultinomialLogisticLoss(Layer):
    """Cross entropy of probabilities: y = -sum of log max(x[label], 1e-20) / N.

    For scores take SoftmaxWithLoss, which is stable. Fractional labels are cut to integers.

    Bottoms: x (N, *S), probabilities of count(S) classes; label (N,), class numbers.
    Tops:    y ().
    Gradient: -1 / (N max(x, 1e-20)) to x at the label, 0 elsewhere; none to label.
    Raises:  DataError for a label that is no class; ShapeError for a wrong number of labels.
    Example: x [[0.25, 0.75], [0.5, 0.5]], label [1, 0]
    Source:  BVLC Caffe, multinomial_logistic_loss_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "label")
    loss: ClassVar[bool] = True
    unforced: ClassVar[tuple[str, ...]] = ("label",)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, label = shapes
        if not x:
            raise self.shape_error("x (N, *S)", f"x={x}")
        self.scores = (x[0], count(x, 1))
        check_labels(self, self.scores, label, 1)
        return [()]

    def forward(self, xp: Any, x: Any, label: Any, y: Any) -> None:
        _, picked = self._pick(xp, x, label)
        y[...] = -xp.log(picked).sum() / max(1, len(x))

    def backward(self, xp: Any, x: Any, label: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        labels, picked = self._pick(xp, x, label)
        slope = -float(dy) / max(1, len(x)) / picked
        dx[...] = xp.where(labels.one_hot(xp, self.scores, 1), slope, 0).reshape(dx.shape)

    def _pick(self, xp: Any, x: Any, label: Any) -> tuple[Labels, Any]:
        """The labels and their probabilities (N, 1)."""
        labels = Labels(self, xp, label, self.scores, 1, None)
        picked = xp.take_along_axis(x.reshape(self.scores), labels.index, 1)
        return labels, xp.maximum(picked, SMALLEST_PROBABILITY)
