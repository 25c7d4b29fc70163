"""Swish."""

from __future__ import annotations

from typing import Any, ClassVar

from caffelite.layers._elementwise import Elementwise
from caffelite.layers.sigmoid import sigmoid


class Swish(Elementwise):
    """y = x / (1 + exp(-beta * x)).

    Bottoms: x, any shape.
    Tops:    y, as x.
    Example: x [[1, -2]]
    Source:  BVLC Caffe, swish_layer.cpp. Ramachandran et al., "Searching for activation functions", 2017.
    """

    message: ClassVar[str] = "swish_param"

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        y[...] = x * self._gate(xp, x)

    def backward(self, xp: Any, x: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            gate = self._gate(xp, x)
            dx[...] = dy * (gate + self.p.beta * x * gate * (1 - gate))

    def _gate(self, xp: Any, x: Any) -> Any:
        gate = xp.empty_like(x)
        sigmoid(xp, x * self.p.beta, gate)
        return gate
