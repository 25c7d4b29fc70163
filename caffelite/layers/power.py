"""Power."""

from __future__ import annotations

from typing import Any, ClassVar

from caffelite.layers._elementwise import Elementwise


class Power(Elementwise):
    """y = (shift + scale * x)^power; power 0 gives 1, at 0 as well.

    Bottoms: x, any shape.
    Tops:    y, as x.
    Gradient: 0 if power or scale is 0. (At x = 0 with shift 0 and power > 1 it is 0, where Caffe computes
              NaN.)
    Example: x [[1, 2, 3]]; power_param { power: 2 scale: 0.5 shift: 1 }
    Source:  BVLC Caffe, power_layer.cpp.
    """

    message: ClassVar[str] = "power_param"

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        y[...] = self._inner(x) ** self.p.power

    def backward(self, xp: Any, x: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        slope = self.p.power * self.p.scale
        if slope == 0:
            dx[...] = 0
        else:
            dx[...] = dy * slope * self._inner(x) ** (self.p.power - 1)

    def _inner(self, x: Any) -> Any:
        return x * self.p.scale + self.p.shift
