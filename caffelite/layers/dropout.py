"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Phase, Shape


class Dropout(Layer):
    """In TRAIN zeroes each element with probability dropout_ratio and scales the others by 1 / (1 - ratio).

    In TEST y = x. Two forks differ: with ``scale_train: false`` (Fast R-CNN) nothing is scaled in TRAIN and all
    is multiplied by 1 - ratio in TEST; with ``sample_weights_test: true`` (Bayesian SegNet) TEST is as TRAIN.

    Bottoms: x, any shape.
    Tops:    y, as x.
    Raises:  NetError unless 0 <= dropout_ratio < 1 (Caffe takes 1 and computes NaN).
    Source:  BVLC Caffe, dropout_layer.cpp; those of caffe-fast-rcnn and caffe-segnet. Srivastava et al.,
             "Dropout", 2014.
    Example: x (2, 3); dropout_param { dropout_ratio: 0.5 }
    """

    message: ClassVar[str] = "dropout_param"
    inplace: ClassVar[bool] = True
    extensions: ClassVar[tuple[str, ...]] = ("scale_train", "sample_weights_test")

    def setup(self) -> None:
        active = self.phase == Phase.TRAIN or self.p.sample_weights_test
        self._set_up(active, scaled=self.p.scale_train)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        return self._infer(shapes[0], mask=shapes[0])

    def _set_up(self, active: bool, scaled: bool = True) -> None:
        self.ratio = float(self.p.dropout_ratio)
        if not 0 <= self.ratio < 1:
            raise self.error("0 <= dropout_ratio < 1", f"{self.ratio:g}", field="dropout_ratio")
        self.active = active
        if active:
            self.scale = 1 / (1 - self.ratio) if scaled else 1.0
        else:
            self.scale = 1.0 if scaled else 1 - self.ratio
            self.forward = self._forward_still  # type: ignore[method-assign,assignment]  # no rng, no mask
            self.backward = self._backward_still  # type: ignore[method-assign,assignment]

    def _infer(self, x: Shape, mask: Shape) -> list[Shape]:
        if self.active:
            self.save("mask", mask, "uint8")
        return [x]

    def forward(self, xp: Any, x: Any, y: Any, mask: Any, rng: Any) -> None:
        mask[...] = xp.asarray(rng.random(mask.shape, dtype="float32") >= self.ratio)
        xp.multiply(x, self._spread(mask, x), out=y)
        y *= self.scale

    def backward(self, xp: Any, mask: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            xp.multiply(dy, self._spread(mask, dy), out=dx)
            dx *= self.scale

    def _forward_still(self, xp: Any, x: Any, y: Any) -> None:
        y[...] = x
        if self.scale != 1:
            y *= self.scale

    def _backward_still(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            self._forward_still(xp, dy, dx)

    def _spread(self, mask: Any, x: Any) -> Any:
        """The mask, broadcast against x."""
        return mask
