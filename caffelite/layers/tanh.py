"""TanH."""

from __future__ import annotations

from typing import Any, ClassVar

from caffelite.layers._elementwise import Elementwise


class TanH(Elementwise):
    """y = tanh(x).

    Bottoms: x, any shape.
    Tops:    y, as x.
    Example: x [[0, 2]]
    Source:  BVLC Caffe, tanh_layer.cpp.
    """

    message: ClassVar[str] = "tanh_param"

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        xp.tanh(x, out=y)

    def backward(self, xp: Any, y: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            xp.multiply(dy, 1 - y * y, out=dx)
