"""Shape fields of prototxts."""

from __future__ import annotations

from typing import Any

from caffelite.layers.base import Layer
from caffelite.types import Shape


def read_shape(layer: Layer, message: Any, field: str) -> Shape:
    """A BlobShape message as a shape. Raises NetError for sizes below 1."""
    dims = tuple(message.dim)
    if min(dims, default=1) < 1:
        raise layer.error("sizes >= 1", dims, field=field)
    return dims


def one_for_each(layer: Layer, values: list[Any], field: str, tops: int) -> list[Any]:
    """A repeated field with one entry for all tops or one for each, as one for each. Raises NetError."""
    if len(values) not in (1, tops):
        raise layer.error(
            f"{field} once, or once for each of {tops} tops", f"{len(values)} times", field=field
        )
    return values * tops if len(values) == 1 else values
