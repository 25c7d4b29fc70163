"""Reshape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape, count


class Reshape(Layer):
    """The same elements in another shape.

    ``shape`` replaces the axes from ``axis`` (0) on, ``num_axes`` of them (-1: all). A dim of 0 keeps the
    bottom's, one dim may be -1 and takes what is left. ``axis: -1`` stands after the last axis.

    Bottoms: x, any shape.
    Tops:    y, the same elements.
    Raises:  NetError for a bad axis or dim; ShapeError if the counts cannot agree.
    Example: x (2, 3, 4); reshape_param { shape { dim: 0 dim: -1 } }
    Source:  BVLC Caffe, reshape_layer.cpp.
    """

    message: ClassVar[str] = "reshape_param"
    view: ClassVar[bool] = True

    def setup(self) -> None:
        dims = tuple(self.p.shape.dim)
        if min(dims, default=0) < -1 or dims.count(-1) > 1:
            raise self.error("dims of 0 or more, and at most one -1", dims, field="shape")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, dims = shapes[0], tuple(self.p.shape.dim)
        start, end = self._replaced(len(x))
        copied = [start + i for i, dim in enumerate(dims) if dim == 0]
        if any(axis >= len(x) for axis in copied):
            raise self.error(f"no dim: 0 beyond the {len(x)} axes of x", dims, field="shape")
        rest = self._inferred(x, set(range(start, end)), set(copied), dims) if -1 in dims else 0
        dims = tuple(x[start + i] if dim == 0 else rest if dim == -1 else dim for i, dim in enumerate(dims))
        y = (*x[:start], *dims, *x[end:])
        if count(y) != count(x):
            raise self.shape_error(f"x with {count(y)} elements for {y}", f"x={x} with {count(x)}")
        return [y]

    def _replaced(self, ndim: int) -> tuple[int, int]:
        p = self.p
        start = p.axis if p.axis >= 0 else ndim + p.axis + 1
        if not 0 <= start <= ndim:
            raise self.error(
                f"an axis from {-ndim - 1} to {ndim} for a bottom with {ndim} axes", p.axis, field="axis"
            )
        if p.num_axes < -1 or start + p.num_axes > ndim:
            raise self.error(f"num_axes from -1 to {ndim - start}", p.num_axes, field="num_axes")
        return start, ndim if p.num_axes == -1 else start + p.num_axes

    def _inferred(self, x: Shape, replaced: set[int], copied: set[int], dims: Shape) -> int:
        """What dim: -1 stands for. Axes that are copied cancel out, so that it is known for a batch of no items too."""
        others = [dim for dim in dims if dim > 0] + [x[axis] or 1 for axis in copied - replaced]
        known, size = count(tuple(others)), count(tuple(x[axis] for axis in replaced - copied))
        if size % known:
            raise self.shape_error(
                f"x with a multiple of {known * (count(x) // size)} elements to infer dim: -1",
                f"x={x} with {count(x)}",
            )
        return size // known

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        y[...] = x.reshape(y.shape)

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = dy.reshape(dx.shape)
