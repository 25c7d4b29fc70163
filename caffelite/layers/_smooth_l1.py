"""The smooth L1 function: a parabola near 0, straight beyond."""

from __future__ import annotations

from typing import Any

from caffelite.layers.base import Layer
from caffelite.types import Shape


def smooth_l1(xp: Any, d: Any, sigma: float) -> Any:
    """0.5 (sigma d)^2 where abs(d) < 1 / sigma^2, abs(d) - 0.5 / sigma^2 elsewhere."""
    size = xp.abs(d)
    near = xp.minimum(size, 1 / sigma**2)
    return near * (size - near / 2) * sigma**2


def slope(xp: Any, d: Any, sigma: float) -> Any:
    """The derivative of ``smooth_l1``, between -1 and 1."""
    return xp.clip(d * sigma**2, -1, 1)


def difference(x: Any, target: Any, weights: Any) -> Any:
    """weights * (x - target), of x's shape; weights may be None."""
    return weighted(x - target.reshape(x.shape), weights)


def weighted(values: Any, weights: Any) -> Any:
    """values * weights, of the shape of values; weights may be None."""
    return values if weights is None else values * weights.reshape(values.shape)


def check_alike(layer: Layer, x: Shape, **others: Shape) -> None:
    """Raises ShapeError unless all have x's shape; ones at the end do not count."""
    for name, shape in others.items():
        if not x or _bare(shape) != _bare(x):
            raise layer.shape_error(f"{name} of the shape of x", f"x={x}, {name}={shape}")


def _bare(shape: Shape) -> Shape:
    """A shape without the ones at its end, which Caffe takes for missing axes."""
    return _bare(shape[:-1]) if shape[-1:] == (1,) else shape
