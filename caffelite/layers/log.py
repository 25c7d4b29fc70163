"""Log."""

from __future__ import annotations

from math import log
from typing import Any, ClassVar

from caffelite.layers._elementwise import Elementwise


class Log(Elementwise):
    """y = log of (shift + scale * x) to base; base -1 (the default) means e.

    Bottoms: x, any shape.
    Tops:    y, as x.
    Raises:  NetError unless base is -1 or positive and not 1.
    Example: x [[1, 2, 8]]; log_param { base: 2 }
    Source:  BVLC Caffe, log_layer.cpp.
    """

    message: ClassVar[str] = "log_param"

    def setup(self) -> None:
        base = self.p.base
        if base != -1 and (base <= 0 or base == 1):
            raise self.error("base > 0 and not 1, or -1 for e", f"{base:g}", field="base")
        self.outer = 1.0 if base == -1 else 1 / log(base)

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        xp.log(self._inner(x), out=y)
        y *= self.outer

    def backward(self, xp: Any, x: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            xp.divide(dy * (self.p.scale * self.outer), self._inner(x), out=dx)

    def _inner(self, x: Any) -> Any:
        return x * self.p.scale + self.p.shift
