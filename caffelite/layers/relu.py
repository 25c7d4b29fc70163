"""ReLU."""

from __future__ import annotations

from typing import Any, ClassVar

from caffelite.layers._elementwise import Elementwise


class ReLU(Elementwise):
    """y = max(x, 0) + negative_slope * min(x, 0).

    Bottoms: x, any shape.
    Tops:    y, as x.
    Gradient: 1 where x > 0, else negative_slope; at 0 negative_slope. Read off the sign of y, or of x if
              negative_slope < 0 (where Caffe's in-place gradient is wrong).
    Example: x [[1, -2]]; relu_param { negative_slope: 0.1 }
    Source:  BVLC Caffe, relu_layer.cpp. Nair and Hinton, "Rectified linear units", 2010.
    """

    message: ClassVar[str] = "relu_param"

    def setup(self) -> None:
        self.slope = float(self.p.negative_slope)
        if self.slope < 0:
            self.backward = self._backward_from_x  # type: ignore[method-assign,assignment]  # names x, not y

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        if self.slope:
            y[...] = xp.maximum(x, 0) + self.slope * xp.minimum(x, 0)
        else:
            xp.maximum(x, 0, out=y)

    def backward(self, xp: Any, y: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            self._gate(xp, y > 0, dy, dx)

    def _backward_from_x(self, xp: Any, x: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            self._gate(xp, x > 0, dy, dx)

    def _gate(self, xp: Any, positive: Any, dy: Any, dx: Any) -> None:
        if self.slope:
            dx[...] = xp.where(positive, dy, self.slope * dy)
        else:
            xp.multiply(dy, positive, out=dx)
