"""MVN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape


class MVN(Layer):
    """y = (x - mean) / (standard deviation + eps), for each channel of each item.

    ``across_channels: true`` takes each item whole. ``normalize_variance: false`` only subtracts the
    mean. The variance is the biased one.

    Bottoms: x (N, C, *S), of any number of axes.
    Tops:    y, as x; with fewer than 4 axes y has 1 for each that is missing, as in Caffe, but in place.
    Gradient: as if eps were 0 next to the deviation, which is what Caffe computes.
    Example: x (2, 3, 4, 4)
    Source:  BVLC Caffe, mvn_layer.cpp.
    """

    message: ClassVar[str] = "mvn_param"
    inplace: ClassVar[bool] = True

    def setup(self) -> None:
        if not self.p.normalize_variance:
            self.forward = self._forward_mean  # type: ignore[method-assign,assignment]
            self.backward = self._backward_mean  # type: ignore[method-assign,assignment]

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        full = (*x, *(1,) * (4 - len(x)))
        first = 1 if self.p.across_channels else 2
        self.over = tuple(range(first, len(full)))
        if self.p.normalize_variance:
            self.save("deviation", (*full[:first], *(1,) * len(self.over)))
        self.full = full
        return [x if self._in_place() else full]

    def _in_place(self) -> bool:
        return list(self.spec.top[:1]) == list(self.spec.bottom[:1])

    def forward(self, xp: Any, x: Any, y: Any, deviation: Any) -> None:
        centred = self._centred(x)
        deviation[...] = xp.sqrt((centred * centred).mean(axis=self.over, keepdims=True)) + self.p.eps
        centred /= deviation
        y[...] = centred.reshape(y.shape)

    def backward(self, xp: Any, y: Any, deviation: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            y, dy = y.reshape(self.full), dy.reshape(self.full)
            shared = dy.mean(axis=self.over, keepdims=True) + y * (y * dy).mean(axis=self.over, keepdims=True)
            dx[...] = ((dy - shared) / deviation).reshape(dx.shape)

    def _forward_mean(self, xp: Any, x: Any, y: Any) -> None:
        y[...] = self._centred(x).reshape(y.shape)

    def _backward_mean(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = self._centred(dy).reshape(dx.shape)

    def _centred(self, x: Any) -> Any:
        """x less its means, in a new array with at least 4 axes."""
        x = x.reshape(self.full)
        return x - x.mean(axis=self.over, keepdims=True)
