"""EuclideanLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._loss import check_items, check_weights, spread
from caffelite.layers.base import Layer
from caffelite.types import Shape, count


class EuclideanLoss(Layer):
    """y = sum of w (x - target)^2 / (2 N). The weight w is 1 unless a third bottom gives it.

    Bottoms: x (N, *S); target (N, *S') with as many elements an item; weight, if any, one number for each element or
             for each item.
    Tops:    y ().
    Gradient: to x and target; none to weight.
    Raises:  ShapeError if the numbers of items or of elements an item differ, or the weights are not as many.
    Example: x [[1, 2], [3, 4]], target [[1, 1], [3, 6]]
    Source:  BVLC Caffe, euclidean_loss_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "target", "weight?")
    loss: ClassVar[bool] = True
    unforced: ClassVar[tuple[str, ...]] = ("weight",)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, target, *weight = shapes
        check_items(self, x, target, "target")
        if weight:
            check_weights(self, weight[0], x[0], count(x), "elements")
        self.items = max(1, x[0])
        return [()]

    def forward(self, xp: Any, x: Any, target: Any, weight: Any, y: Any) -> None:
        difference = x - target.reshape(x.shape)
        y[...] = (difference * _weighted(difference, weight)).sum() / (2 * self.items)

    def backward(self, xp: Any, x: Any, target: Any, weight: Any, dy: Any, dx: Any, dtarget: Any) -> None:
        gradient = _weighted(x - target.reshape(x.shape), weight) * (float(dy) / self.items)
        if dx is not None:
            dx[...] = gradient
        if dtarget is not None:
            dtarget[...] = -gradient.reshape(dtarget.shape)


def _weighted(values: Any, weight: Any) -> Any:
    return values if weight is None else values * spread(weight, values.shape)
