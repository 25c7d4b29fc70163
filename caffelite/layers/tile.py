"""Tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from caffelite.layers._joints import parts
from caffelite.layers.base import Layer
from caffelite.types import Shape


class Tile(Layer):
    """x repeated ``tiles`` times along ``axis`` (1).

    Bottoms: x, any shape.
    Tops:    y.
    Gradient: the sum of the tiles' gradients.
    Raises:  NetError unless tiles >= 1.
    Example: x [[1, 2]]; tile_param { axis: 1 tiles: 3 }
    Source:  BVLC Caffe, tile_layer.cpp.
    """

    message: ClassVar[str] = "tile_param"

    def setup(self) -> None:
        if self.p.tiles < 1:
            raise self.error("tiles >= 1", self.p.tiles, "set tile_param.tiles", "tiles")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        self.along = axis = self.axis(self.p.axis, len(x))
        return [(*x[:axis], x[axis] * self.p.tiles, *x[axis + 1 :])]

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        for part in self._tiles(y):
            part[...] = x

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = 0
            for part in self._tiles(dy):
                dx += part

    def _tiles(self, y: Any) -> Iterator[Any]:
        return parts(y, (y.shape[self.along] // self.p.tiles,) * self.p.tiles, self.along)
