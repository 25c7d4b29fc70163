"""SigmoidCrossEntropyLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._loss import Normalizer, check_items, check_weights, spread
from caffelite.layers.base import Layer
from caffelite.layers.sigmoid import sigmoid
from caffelite.types import Shape, count


class SigmoidCrossEntropyLoss(Layer):
    """Cross entropy of p = sigmoid(x): y = -sum of w (t log p + (1 - t) log(1 - p)) / Z.

    Z is set by ``loss_param``: BATCH_SIZE (default) N, VALID the elements not ignored, FULL all elements,
    NONE 1. An element whose target, cut to an integer, is ``ignore_label`` counts nowhere (so 0 ignores 0.7
    as well). The weight w is 1 unless a third bottom gives it; Z does not depend on it.

    Bottoms: x (N, *S), scores; target (N, *S') with as many elements an item, probabilities; weight, if any, one
             number for each element or for each item.
    Tops:    y ().
    Gradient: w (p - t) / Z to x; none to target and weight.
    Raises:  ShapeError if the numbers of items or of elements an item differ, or the weights are not as many.
    Example: x [[0, 2], [-1, 3]], target [[1, 0], [0, 1]]
    Source:  BVLC Caffe, sigmoid_cross_entropy_loss_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "target", "weight?")
    message: ClassVar[str] = "loss_param"
    loss: ClassVar[bool] = True
    unforced: ClassVar[tuple[str, ...]] = ("target", "weight")

    def setup(self) -> None:
        self.normalizer = Normalizer(self, default="BATCH_SIZE")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, target, *weight = shapes
        check_items(self, x, target, "target")
        if weight:
            check_weights(self, weight[0], x[0], count(x), "elements")
        return [()]

    def forward(self, xp: Any, x: Any, target: Any, weight: Any, y: Any) -> None:
        target, keep = self._split(xp, target, x.shape)
        losses = xp.maximum(x, 0) - x * target + xp.log1p(xp.exp(-abs(x)))  # no exp of a positive number
        if weight is not None:
            losses *= spread(weight, x.shape)
        y[...] = (losses * keep).sum() / self._divisor(keep)

    def backward(self, xp: Any, x: Any, target: Any, weight: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        target, keep = self._split(xp, target, x.shape)
        sigmoid(xp, x, dx)
        dx -= target
        dx *= keep
        if weight is not None:
            dx *= spread(weight, dx.shape)
        dx *= float(dy) / self._divisor(keep)

    def _split(self, xp: Any, target: Any, shape: Shape) -> tuple[Any, Any]:
        """The targets in x's shape, and where they count."""
        target = target.reshape(shape)
        if self.normalizer.ignore is None:
            return target, xp.ones_like(target, dtype=bool)
        return target, xp.trunc(target) != self.normalizer.ignore

    def _divisor(self, keep: Any) -> float:
        return self.normalizer.divisor(len(keep), keep.size, keep.sum())
