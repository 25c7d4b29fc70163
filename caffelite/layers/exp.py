"""Exp."""

from __future__ import annotations

from math import exp, inf, log
from typing import Any, ClassVar

from caffelite.layers._elementwise import Elementwise


class Exp(Elementwise):
    """y = base^(shift + scale * x); base -1 (the default) means e.

    Bottoms: x, any shape.
    Tops:    y, as x.
    Raises:  NetError unless base is -1 or positive.
    Example: x [[0, 1, 3]]; exp_param { base: 2 }
    Source:  BVLC Caffe, exp_layer.cpp.
    """

    message: ClassVar[str] = "exp_param"

    def setup(self) -> None:
        p = self.p
        if p.base != -1 and p.base <= 0:
            raise self.error("base > 0, or -1 for e", f"{p.base:g}", field="base")
        log_base = 1.0 if p.base == -1 else log(p.base)
        self.inner = log_base * p.scale
        self.outer = _exp(log_base * p.shift)

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        xp.multiply(x, self.inner, out=y)
        xp.exp(y, out=y)
        y *= self.outer

    def backward(self, xp: Any, y: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            xp.multiply(dy, y * self.inner, out=dx)


def _exp(x: float) -> float:
    try:
        return exp(x)
    except OverflowError:
        return inf
