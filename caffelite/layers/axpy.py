"""Axpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._affine import along
from caffelite.layers.base import Layer
from caffelite.types import Shape


class Axpy(Layer):
    """y = a * x + shift, a being one number for each item and channel.

    Bottoms: a (N, C) or (N, C, 1, 1); x (N, C, *S); shift, as x.
    Tops:    y, as x.
    Gradient: to all three.
    Raises:  ShapeError if the shapes do not go together.
    Source:  axpy_layer.cpp of SENet. Hu et al., "Squeeze-and-excitation networks", 2018.
    Example: a (1, 3), x (1, 3, 2, 2), shift (1, 3, 2, 2)
    """

    bottoms: ClassVar[tuple[str, ...]] = ("a", "x", "shift")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        a, x, shift = shapes
        if len(x) < 2 or a[:2] != x[:2] or any(size != 1 for size in a[2:]):
            raise self.shape_error("a (N, C) or (N, C, 1, 1) for x (N, C, *S)", f"a={a}, x={x}")
        if shift != x:
            raise self.shape_error("a third bottom of the second one's shape", f"x={x}, shift={shift}")
        return [x]

    def forward(self, xp: Any, a: Any, x: Any, shift: Any, y: Any) -> None:
        xp.multiply(x, _stretched(a, x), out=y)
        y += shift

    def backward(self, xp: Any, a: Any, x: Any, dy: Any, da: Any, dx: Any, dshift: Any) -> None:
        if da is not None:
            da[...] = (dy * x).sum(axis=tuple(range(2, dy.ndim))).reshape(da.shape)
        if dx is not None:
            xp.multiply(dy, _stretched(a, dy), out=dx)
        if dshift is not None:
            dshift[...] = dy


def _stretched(a: Any, x: Any) -> Any:
    return along(a.reshape(x.shape[:2]), 0, x.ndim)
