"""Split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape


class Split(Layer):
    """One blob for several readers: each top is x. Nets get a Split wherever a blob has more than one reader.

    Bottoms: x, any shape.
    Tops:    y, any number, as x.
    Gradient: the sum of the tops' gradients.
    Example: x (2, 3) -> a, b
    Source:  BVLC Caffe, split_layer.cpp.
    """

    tops: ClassVar[tuple[str, ...]] = ("y*",)
    view: ClassVar[bool] = True

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        return [shapes[0]] * len(self.spec.top)

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        for yi in y:
            yi[...] = x

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        known = [dyi for dyi in dy if dyi is not None]
        dx[...] = known[0] if known else 0
        for dyi in known[1:]:
            dx += dyi
