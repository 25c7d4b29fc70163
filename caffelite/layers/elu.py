"""ELU."""

from __future__ import annotations

from typing import Any, ClassVar

from caffelite.layers._elementwise import Elementwise


class ELU(Elementwise):
    """y = x where x > 0, else alpha * (exp(x) - 1).

    Bottoms: x, any shape.
    Tops:    y, as x.
    Gradient: 1 where x > 0, else y + alpha; read off y, or off x and y if alpha < 0.
    Example: x [[1, -2]]; elu_param { alpha: 0.5 }
    Source:  BVLC Caffe, elu_layer.cpp. Clevert et al., "Fast and accurate deep network learning by
             exponential linear units", 2015.
    """

    message: ClassVar[str] = "elu_param"

    def setup(self) -> None:
        self.alpha = float(self.p.alpha)
        if self.alpha < 0:
            self.backward = self._backward_from_x  # type: ignore[method-assign,assignment]  # names x as well

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        y[...] = xp.maximum(x, 0) + self.alpha * xp.expm1(xp.minimum(x, 0))

    def backward(self, xp: Any, y: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = xp.where(y > 0, dy, dy * (y + self.alpha))

    def _backward_from_x(self, xp: Any, x: Any, y: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = xp.where(x > 0, dy, dy * (y + self.alpha))
