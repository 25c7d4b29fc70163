"""EuclideanLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._loss import check_items
from caffelite.layers.base import Layer
from caffelite.types import Shape


class EuclideanLoss(Layer):
    """y = sum of (x - target)^2 / (2 N).

    Bottoms: x (N, *S); target (N, *S') with as many elements an item.
    Tops:    y ().
    Gradient: to both bottoms.
    Raises:  ShapeError if the numbers of items or of elements an item differ.
    Source:  BVLC Caffe, euclidean_loss_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "target")
    loss: ClassVar[bool] = True

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, target = shapes
        check_items(self, x, target, "target")
        self.items = max(1, x[0])
        return [()]

    def forward(self, xp: Any, x: Any, target: Any, y: Any) -> None:
        difference = x - target.reshape(x.shape)
        y[...] = (difference * difference).sum() / (2 * self.items)

    def backward(self, xp: Any, x: Any, target: Any, dy: Any, dx: Any, dtarget: Any) -> None:
        gradient = (x - target.reshape(x.shape)) * (float(dy) / self.items)
        if dx is not None:
            dx[...] = gradient
        if dtarget is not None:
            dtarget[...] = -gradient.reshape(dtarget.shape)
