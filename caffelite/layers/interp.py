"""Interp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from caffelite.layers.base import Layer
from caffelite.types import Shape


class Interp(Layer):
    """Bilinear resizing in which the corners of x and y meet: y[i] = x[i * (S - 1) / (T - 1)] along each axis.

    ``pad_beg`` and ``pad_end``, both at most 0, cut x at the start and the end of its spatial axes first. Sizes of
    the top, from the S that is left: ``shrink_factor`` alone (S - 1) / f + 1; ``zoom_factor`` alone S + (S - 1)
    (f - 1); else ``height`` and ``width``; else both factors, shrinking first; else those of a second bottom.

    Bottoms: x (N, C, H, W); like (optional), of which only the two spatial sizes are used.
    Tops:    y (N, C, H', W').
    Gradient: to x, 0 where it was cut; none to like.
    Raises:  NetError for padding above 0, factors below 1, or no size; ShapeError if nothing is left of x.
    Source:  interp_layer.cpp of DeepLab and PSPNet. Chen et al., "DeepLab", 2016.
    Example: x (1, 2, 3, 3); interp_param { zoom_factor: 2 }
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "like?")
    message: ClassVar[str] = "interp_param"

    def setup(self) -> None:
        for field in ("pad_beg", "pad_end"):
            if getattr(self.p, field) > 0:
                raise self.error(f"{field} <= 0, which cuts", getattr(self.p, field), field=field)
        for field in ("zoom_factor", "shrink_factor"):
            if getattr(self.p, field) < 1:
                raise self.error(f"{field} >= 1", getattr(self.p, field), field=field)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if any(len(shape) != 4 for shape in shapes):
            raise self.shape_error("bottoms (N, C, H, W)", ", ".join(map(str, shapes)))
        first, last = -self.p.pad_beg, self.p.pad_end
        left = tuple(size - first + last for size in x[2:])
        if min(left) < 1:
            raise self.shape_error("something left of x after pad_beg and pad_end", f"{left} of x={x}")
        self.cut = (..., *(slice(first, first + size) for size in left))
        sizes = self._sizes(left, shapes)
        self.axes = tuple(_Axis(size, out) for size, out in zip(left, sizes, strict=True))
        return [(*x[:2], *sizes)]

    def _sizes(self, left: Shape, shapes: Sequence[Shape]) -> Shape:
        p = self.p
        shrink, zoom, height, width = map(p.HasField, ("shrink_factor", "zoom_factor", "height", "width"))
        if height and width and shrink == zoom:
            if min(p.height, p.width) < 1:
                raise self.error("height and width >= 1", f"{p.height} x {p.width}", field="height")
            return p.height, p.width
        if shrink or zoom:
            shrunk = [(size - 1) // p.shrink_factor + 1 for size in left]
            return tuple(size + (size - 1) * (p.zoom_factor - 1) for size in shrunk)
        if len(shapes) > 1:
            return shapes[1][2:]
        raise self.error("a size", "none", "set height and width, zoom_factor or shrink_factor")

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        last = xp.ascontiguousarray(xp.moveaxis(x[self.cut], 1, -1))
        for axis, resized in enumerate(self.axes, start=1):
            last = resized.apply(xp, last, axis)
        y[...] = xp.moveaxis(last, -1, 1)

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        rows, columns = (xp.asarray(axis.transposed(dy.dtype)) for axis in self.axes)
        last = xp.ascontiguousarray(xp.moveaxis(dy, 1, -1))
        n, h, w, c = last.shape
        last = xp.matmul(rows, last.reshape(n, h, w * c)).reshape(n, len(rows), w, c)
        dx[...] = 0
        dx[self.cut] = xp.moveaxis(xp.matmul(columns, last), -1, 1)


@dataclass(frozen=True)
class _Axis:
    """Where along one axis ``out`` elements of the top lie between ``size`` of the bottom."""

    size: int
    out: int

    @cached_property
    def low(self) -> Any:
        """Each one's lower neighbour."""
        return np.minimum(self._at.astype(int), self.size - 1)

    @cached_property
    def high(self) -> Any:
        """Each one's higher neighbour."""
        return np.minimum(self.low + 1, self.size - 1)

    @cached_property
    def share(self) -> Any:
        """The share of the higher neighbour."""
        return self._at - self.low

    @cached_property
    def _at(self) -> Any:
        return np.arange(self.out) * ((self.size - 1) / (self.out - 1) if self.out > 1 else 0.0)

    def apply(self, xp: Any, x: Any, axis: int) -> Any:
        """x resized along an axis."""
        share = xp.asarray(self.share.astype(x.dtype)).reshape(-1, *(1,) * (x.ndim - axis - 1))
        y = xp.take(x, xp.asarray(self.low), axis=axis)
        y *= 1 - share
        y += share * xp.take(x, xp.asarray(self.high), axis=axis)
        return y

    def transposed(self, dtype: Any) -> Any:
        """The matrix (size, out) that takes a gradient back."""
        matrix = np.zeros((self.size, len(self.low)), dtype)
        places = np.arange(len(self.low))
        matrix[self.low, places] = 1 - self.share
        matrix[self.high, places] += self.share
        return matrix
