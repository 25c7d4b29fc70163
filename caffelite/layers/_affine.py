"""Small arrays stretched along some axes of large ones: for Scale, Bias and PReLU."""

from __future__ import annotations

from typing import Any

from caffelite.layers.base import Layer
from caffelite.types import Shape


def along(small: Any, axis: int, ndim: int) -> Any:
    """``small`` shaped to broadcast against an array of ``ndim`` axes, its first axis on ``axis``."""
    return small.reshape(*small.shape, *(1,) * (ndim - axis - small.ndim)) if small.ndim else small


def sum_to(small: Any, large: Any, axis: int) -> Any:
    """``large`` summed over the axes that ``small``, lying from ``axis`` on, does not have."""
    inside = range(axis, axis + small.ndim)
    return large.sum(axis=tuple(i for i in range(large.ndim) if i not in inside))


def param_shape(layer: Layer, x: Shape) -> tuple[int, Shape]:
    """Axis and shape of the learned operand of a Scale or Bias, by axis and num_axes. Raises NetError."""
    p = layer.p
    axis = layer.axis(p.axis, len(x))
    if p.num_axes < -1 or axis + p.num_axes > len(x):
        raise layer.error(f"num_axes from -1 to {len(x) - axis}", p.num_axes, field="num_axes")
    return axis, x[axis:] if p.num_axes == -1 else x[axis : axis + p.num_axes]


def operand_axis(layer: Layer, x: Shape, other: Shape, name: str) -> int:
    """The axis of x where the second bottom of a Scale or Bias lies. Raises NetError or ShapeError."""
    axis = 0 if not other else layer.axis(layer.p.axis, len(x))
    if x[axis : axis + len(other)] != other:
        raise layer.shape_error(
            f"{name} of the shape that x has from axis {axis} on", f"x={x}, {name}={other}"
        )
    return axis
