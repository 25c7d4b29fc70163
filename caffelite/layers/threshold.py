"""Threshold."""

from __future__ import annotations

from typing import Any, ClassVar

from caffelite.layers._elementwise import Elementwise


class Threshold(Elementwise):
    """y = 1 where x > threshold, else 0.

    Bottoms: x, any shape.
    Tops:    y, as x.
    Gradient: none.
    Example: x [[0.3, 0.7]]; threshold_param { threshold: 0.5 }
    Source:  BVLC Caffe, threshold_layer.cpp.
    """

    message: ClassVar[str] = "threshold_param"

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        y[...] = x > self.p.threshold
