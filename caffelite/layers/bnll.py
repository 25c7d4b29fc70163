"""BNLL."""

from __future__ import annotations

from typing import Any

from caffelite.layers._elementwise import Elementwise
from caffelite.layers.sigmoid import sigmoid


class BNLL(Elementwise):
    """y = log(1 + exp(x)), which is never computed from a large exp(x).

    Bottoms: x, any shape.
    Tops:    y, as x.
    Gradient: 1 / (1 + exp(-x)).
    Example: x [[1, -2]]
    Source:  BVLC Caffe, bnll_layer.cpp.
    """

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        xp.logaddexp(x, 0, out=y)

    def backward(self, xp: Any, x: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            slope = xp.empty_like(dx)
            sigmoid(xp, x, slope)
            xp.multiply(dy, slope, out=dx)
