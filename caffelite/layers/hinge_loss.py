"""HingeLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._loss import Labels, check_labels, check_weights, spread
from caffelite.layers.base import Layer, enum_name
from caffelite.types import Shape, count


class HingeLoss(Layer):
    """One against all: y = sum of w max(0, 1 - s x)^p / N; s is 1 for the label's class, -1 for the others.

    ``norm: L1`` (default) is p = 1, ``L2`` is p = 2. The weight w is 1 unless a third bottom gives it.

    Bottoms: x (N, *S), the scores of count(S) classes; label (N,), class numbers; weight (N,), if any, or one number
             for each score.
    Tops:    y ().
    Gradient: to x, 0 where the margin is kept; none to label and weight.
    Raises:  DataError for a label that is no class; ShapeError for a wrong number of labels or weights.
    Example: x [[2, -1], [0.5, 0.5]], label [0, 1]; hinge_loss_param { norm: L1 }
    Source:  BVLC Caffe, hinge_loss_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "label", "weight?")
    message: ClassVar[str] = "hinge_loss_param"
    loss: ClassVar[bool] = True
    unforced: ClassVar[tuple[str, ...]] = ("label", "weight")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, label, *weight = shapes
        if len(x) < 2:
            raise self.shape_error("x (N, *S) with at least 2 axes", f"x={x}")
        self.scores = (x[0], count(x, 1))
        check_labels(self, self.scores, label, 1)
        if weight:
            check_weights(self, weight[0], x[0], count(x), "scores")
        self.squared = enum_name(self.p, "norm") == "L2"
        return [()]

    def forward(self, xp: Any, x: Any, label: Any, weight: Any, y: Any) -> None:
        margin, _ = self._margin(xp, x, label)
        losses = margin * margin if self.squared else margin
        if weight is not None:
            losses = losses * spread(weight, self.scores)
        y[...] = losses.sum() / max(1, len(x))

    def backward(self, xp: Any, x: Any, label: Any, weight: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        margin, side = self._margin(xp, x, label)
        slope = (2 * margin if self.squared else xp.sign(margin)) * side
        if weight is not None:
            slope *= spread(weight, self.scores)
        dx[...] = (slope * (-float(dy) / max(1, len(x)))).reshape(dx.shape)

    def _margin(self, xp: Any, x: Any, label: Any) -> tuple[Any, Any]:
        """max(0, 1 - s x) and s, both (N, classes)."""
        labels = Labels(self, xp, label, self.scores, 1, None)
        side = 2 * labels.one_hot(xp, self.scores, 1).astype(x.dtype) - 1
        return xp.maximum(0, 1 - side * x.reshape(self.scores)), side
