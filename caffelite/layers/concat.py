"""Concat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._joints import joint_axis, parts
from caffelite.layers.base import Layer
from caffelite.types import Shape


class Concat(Layer):
    """Bottoms one after another along ``axis`` (1).

    Bottoms: x, any number, of one shape but for ``axis``.
    Tops:    y.
    Raises:  ShapeError if the other axes differ; NetError for a bad axis.
    Example: a (2, 3, 4, 4), b (2, 5, 4, 4)
    Source:  BVLC Caffe, concat_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x*",)
    message: ClassVar[str] = "concat_param"

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        first = shapes[0]
        self.along = axis = joint_axis(self, len(first), "concat_dim")
        for i, shape in enumerate(shapes):
            if (
                len(shape) != len(first)
                or shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :]
            ):
                raise self.shape_error(
                    f"bottoms that differ in axis {axis} only", f"x[0]={first}, x[{i}]={shape}"
                )
        self.sizes = tuple(shape[axis] for shape in shapes)
        return [(*first[:axis], sum(self.sizes), *first[axis + 1 :])]

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        for part, xi in zip(parts(y, self.sizes, self.along), x, strict=True):
            part[...] = xi

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        for part, dxi in zip(parts(dy, self.sizes, self.along), dx, strict=True):
            if dxi is not None:
                dxi[...] = part
