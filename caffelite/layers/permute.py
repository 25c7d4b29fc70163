"""Permute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from caffelite.layers.base import Layer
from caffelite.types import Shape


class Permute(Layer):
    """y = x with its axes in another order: axis i of y is axis ``order[i]`` of x; axes not named follow as they come.

    Bottoms: x, any shape.
    Tops:    y, a permutation of x's shape.
    Raises:  NetError for an axis that is not there, or is named twice.
    Example: x (1, 2, 3, 4); permute_param { order: 0 order: 2 order: 3 order: 1 }
    Source:  SSD, permute_layer.cpp.
    """

    message: ClassVar[str] = "permute_param"

    def setup(self) -> None:
        order = tuple(self.p.order)
        if len(set(order)) < len(order):
            raise self.error("each axis at most once in order", order, field="order")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, order = shapes[0], tuple(self.p.order)
        if max(order, default=-1) >= len(x):
            raise self.error(
                f"axes from 0 to {len(x) - 1} for a bottom with {len(x)} axes", order, field="order"
            )
        self.order = order + tuple(axis for axis in range(len(x)) if axis not in order)
        return [tuple(x[axis] for axis in self.order)]

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        y[...] = x.transpose(self.order)

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = dy.transpose([int(axis) for axis in np.argsort(self.order)])
