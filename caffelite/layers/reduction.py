"""Reduction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape, count


class Reduction(Layer):
    """All axes from ``axis`` (0) on become one number, times ``coeff``.

    ``operation``: SUM (default), ASUM (of absolute values), SUMSQ (of squares), MEAN.

    Bottoms: x, any shape.
    Tops:    y, the axes of x before ``axis``; () for all.
    Gradient: ASUM has 0 at x = 0.
    Example: x [[1, 2], [3, 4]]; reduction_param { operation: MEAN axis: 1 }
    Source:  BVLC Caffe, reduction_layer.cpp.
    """

    message: ClassVar[str] = "reduction_param"

    def setup(self) -> None:
        self.operation = self.choice("operation", "SUM", "ASUM", "SUMSQ", "MEAN")
        if self.operation in ("ASUM", "SUMSQ"):
            self.backward = self._backward_from_x  # type: ignore[method-assign,assignment]  # names x

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        axis = self.axis(self.p.axis, len(x)) if x else 0
        self.coeff = self.p.coeff / (max(1, count(x, axis)) if self.operation == "MEAN" else 1)
        self.over = tuple(range(axis, len(x)))
        return [x[:axis]]

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        terms = {"ASUM": xp.absolute, "SUMSQ": xp.square}.get(self.operation, xp.asarray)(x)
        y[...] = terms.sum(axis=self.over) * self.coeff

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = self._stretched(dy, dx) * self.coeff

    def _backward_from_x(self, xp: Any, x: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            slope = xp.sign(x) if self.operation == "ASUM" else 2 * x
            dx[...] = slope * self._stretched(dy, dx) * self.coeff

    def _stretched(self, dy: Any, dx: Any) -> Any:
        return dy.reshape((*dy.shape, *(1,) * (dx.ndim - dy.ndim)))
