"""Concat and Slice: arrays that are parts of another along an axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from caffelite.layers.base import Layer


def joint_axis(layer: Layer, ndim: int, deprecated: str) -> int:
    """The axis, from ``axis`` or the older field that excludes it. Raises NetError."""
    p = layer.p
    if not p.HasField(deprecated):
        return layer.axis(p.axis, ndim)
    if p.HasField("axis"):
        raise layer.error(f"either axis or {deprecated}", "both", f"drop {deprecated}", deprecated)
    return layer.axis(getattr(p, deprecated), ndim, deprecated)


def parts(whole: Any, sizes: Sequence[int], axis: int) -> Iterator[Any]:
    """Views of ``whole`` with the given sizes along an axis, one after another."""
    start = 0
    for size in sizes:
        yield whole[(*(slice(None),) * axis, slice(start, start + size))]
        start += size
