"""Crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape


class Crop(Layer):
    """Cuts x to the shape of ``like`` in all axes from ``axis`` (2) on, starting at ``offset``.

    ``offset``: none (0), one for all cropped axes, or one for each. The axes before ``axis`` stay as they
    are.

    Bottoms: x, any shape; like, of as many axes or more, only its shape is used.
    Tops:    y.
    Gradient: dy in its place, 0 around it; none to like.
    Raises:  ShapeError if the crop does not lie within x; NetError for a wrong number of offsets.
    Example: x (1, 3, 8, 8), like (1, 3, 5, 5); crop_param { axis: 2 offset: 1 }
    Source:  BVLC Caffe, crop_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "like")
    message: ClassVar[str] = "crop_param"

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, like = shapes
        axis = self.axis(self.p.axis, len(x))
        if len(like) < len(x):
            raise self.shape_error("like with all of the axes of x", f"x={x}, like={like}")
        y = (*x[:axis], *like[axis : len(x)])
        offsets = (0,) * axis + self._offsets(len(x) - axis)
        for i, (size, cut, start) in enumerate(zip(x, y, offsets, strict=True)):
            if start + cut > size:
                raise self.shape_error(
                    f"a crop within axis {i}, which has {size} elements",
                    f"{cut} from offset {start}, x={x}, like={like}",
                )
        self.window = tuple(slice(start, start + cut) for start, cut in zip(offsets, y, strict=True))
        return [y]

    def _offsets(self, axes: int) -> tuple[int, ...]:
        offsets = tuple(self.p.offset) or (0,)
        if len(offsets) not in (1, axes):
            raise self.error(f"no offset, one, or one for each of {axes} axes", len(offsets), field="offset")
        return offsets * axes if len(offsets) == 1 else offsets

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        y[...] = x[self.window]

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = 0
            dx[self.window] = dy
