"""ArgMax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape, count


class ArgMax(Layer):
    """The ``top_k`` largest: indices, values, or both. Of equal values the larger index comes first.

    Without ``axis`` each item is flat: y (N, 1, top_k) holds indices; ``out_max_val`` makes it (N, 2, top_k),
    indices and values. With ``axis`` y is x with top_k elements there: indices, or values with
    ``out_max_val``.

    Bottoms: x, any shape.
    Tops:    y. Without ``axis`` it has as many axes as x, at least 3, the others of size 1.
    Gradient: none.
    Raises:  NetError unless top_k lies between 1 and the number of elements.
    Example: x [[1, 3, 2], [5, 4, 0]]; argmax_param { axis: 1 }
    Source:  BVLC Caffe, argmax_layer.cpp.
    """

    message: ClassVar[str] = "argmax_param"

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, k = shapes[0], self.p.top_k
        if not x:
            raise self.shape_error("x with at least 1 axis", f"x={x}")
        along = self.axis(self.p.axis, len(x)) if self.p.HasField("axis") else None
        size = count(x, 1) if along is None else x[along]
        if not 1 <= k <= size:
            raise self.error(f"top_k from 1 to {size}", k, field="top_k")
        if along is not None:
            return [(*x[:along], k, *x[along + 1 :])]
        return [(x[0], 2 if self.p.out_max_val else 1, k, *(1,) * (len(x) - 3))]

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        if self.p.HasField("axis"):
            along = self.p.axis % x.ndim
            index = _largest(xp, x, along, self.p.top_k)
            y[...] = xp.take_along_axis(x, index, along) if self.p.out_max_val else index
            return
        flat = x.reshape(x.shape[0], count(x.shape, 1))
        index = _largest(xp, flat, 1, self.p.top_k)
        rows = xp.empty(y.shape[:3], y.dtype)
        rows[:, 0] = index
        if self.p.out_max_val:
            rows[:, 1] = xp.take_along_axis(flat, index, 1)
        y[...] = rows.reshape(y.shape)


def _largest(xp: Any, x: Any, axis: int, k: int) -> Any:
    """Indices of the k largest along an axis; a stable sort of the reversed axis puts later ones first."""
    order = xp.argsort(-xp.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - order[(*(slice(None),) * axis, slice(0, k))]
