"""Slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._joints import joint_axis, parts
from caffelite.layers.base import Layer
from caffelite.types import Shape


class Slice(Layer):
    """x cut along ``axis`` (1): before each ``slice_point``, or into equal parts without any.

    Bottoms: x, any shape.
    Tops:    y, one for each part.
    Raises:  NetError for slice points that do not rise, lie outside x or are not one fewer than the tops;
             ShapeError if x has no equal parts.
    Example: x (2, 6) -> a, b; slice_param { axis: 1 slice_point: 2 }
    Source:  BVLC Caffe, slice_layer.cpp.
    """

    tops: ClassVar[tuple[str, ...]] = ("y*",)
    message: ClassVar[str] = "slice_param"

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, tops = shapes[0], len(self.spec.top)
        self.along = axis = joint_axis(self, len(x), "slice_dim")
        self.sizes = self._sizes(x[axis], tops) if self.p.slice_point else self._equal(x, tops)
        return [(*x[:axis], size, *x[axis + 1 :]) for size in self.sizes]

    def _sizes(self, length: int, tops: int) -> tuple[int, ...]:
        points = tuple(self.p.slice_point)
        if len(points) != tops - 1:
            raise self.error(f"{tops - 1} slice points for {tops} tops", points, field="slice_point")
        edges = (0, *points, length)
        sizes = tuple(b - a for a, b in zip(edges, edges[1:], strict=False))
        if min(sizes) < 1:
            raise self.error(f"rising slice points between 0 and {length}", points, field="slice_point")
        return sizes

    def _equal(self, x: Shape, tops: int) -> tuple[int, ...]:
        if x[self.along] % tops:
            raise self.shape_error(
                f"axis {self.along} of x to divide by {tops} tops", f"x={x}", "set slice_point"
            )
        return (x[self.along] // tops,) * tops

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        for part, yi in zip(parts(x, self.sizes, self.along), y, strict=True):
            yi[...] = part

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        for part, dyi in zip(parts(dx, self.sizes, self.along), dy, strict=True):
            part[...] = 0 if dyi is None else dyi
