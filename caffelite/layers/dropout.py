"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Phase, Shape


class Dropout(Layer):
    """In TRAIN zeroes each element with probability dropout_ratio and scales the others by 1 / (1 - ratio).

    In TEST y = x.

    Bottoms: x, any shape.
    Tops:    y, as x.
    Raises:  NetError unless 0 <= dropout_ratio < 1 (Caffe takes 1 and computes NaN).
    Source:  BVLC Caffe, dropout_layer.cpp. Srivastava et al., "Dropout", 2014.
    """

    message: ClassVar[str] = "dropout_param"
    inplace: ClassVar[bool] = True

    def setup(self) -> None:
        self.ratio = float(self.p.dropout_ratio)
        if not 0 <= self.ratio < 1:
            raise self.error("0 <= dropout_ratio < 1", f"{self.ratio:g}", field="dropout_ratio")
        self.scale = 1 / (1 - self.ratio)
        if self.phase == Phase.TEST:
            self.forward = self._forward_test  # type: ignore[method-assign,assignment]  # no rng, no mask
            self.backward = self._backward_test  # type: ignore[method-assign,assignment]

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        if self.phase == Phase.TRAIN:
            self.save("mask", shapes[0], "uint8")
        return [shapes[0]]

    def forward(self, xp: Any, x: Any, y: Any, mask: Any, rng: Any) -> None:
        mask[...] = xp.asarray(rng.random(x.shape, dtype="float32") >= self.ratio)
        xp.multiply(x, mask, out=y)
        y *= self.scale

    def backward(self, xp: Any, mask: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            xp.multiply(dy, mask, out=dx)
            dx *= self.scale

    def _forward_test(self, xp: Any, x: Any, y: Any) -> None:
        y[...] = x

    def _backward_test(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = dy
