"""ReLU6."""

from __future__ import annotations

from typing import Any, ClassVar

from caffelite.layers.relu import ReLU


class ReLU6(ReLU):
    """y = min(max(x, 0) + negative_slope * min(x, 0), 6).

    Bottoms: x, any shape.
    Tops:    y, as x.
    Gradient: 1 where 0 < x < 6; negative_slope at 0 and below; 0 at 6 and above.
    Source:  relu6_layer.cpp of MobileNet-SSD (chuanqi305) and MobileNet-YOLO (eric612, which adds the slope).
             Howard et al., "MobileNets", 2017.
    Example: x [[-1.0, 3.0, 9.0]]
    """

    message: ClassVar[str] = "relu6_param"

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        super().forward(xp, x, y)
        xp.minimum(y, 6, out=y)

    def backward(self, xp: Any, y: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            self._gate(xp, y > 0, dy, dx)
            dx *= y < 6

    def _backward_from_x(self, xp: Any, x: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            self._gate(xp, x > 0, dy, dx)
            dx *= xp.maximum(x, self.slope * x) < 6
