"""AbsVal."""

from __future__ import annotations

from typing import Any

from caffelite.layers._elementwise import Elementwise


class AbsVal(Elementwise):
    """y = |x|.

    Bottoms: x, any shape.
    Tops:    y, as x.
    Gradient: the sign of x, 0 at 0.
    Example: x [[1, -2]]
    Source:  BVLC Caffe, absval_layer.cpp.
    """

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        xp.absolute(x, out=y)

    def backward(self, xp: Any, x: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            xp.multiply(dy, xp.sign(x), out=dx)
