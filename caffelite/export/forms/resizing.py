"""Layers that enlarge and shrink images."""

from __future__ import annotations

from math import prod

import numpy as np

from caffelite.export.forms import form
from caffelite.export.tensors import Tensor
from caffelite.export.writer import Writer

_HALF = 0.5  # a runtime cuts size * factor to a whole number; this keeps it on the safe side


@form("Interp")
def interp(to: Writer, x: Tensor) -> Tensor:
    to.fixed(x, (2, 3))
    rows, columns = to.layer.cut[1:]
    sizes = rows.stop - rows.start, columns.stop - columns.start
    if sizes != x.known[2:]:
        x = to.op("Slice", x, (rows.start, columns.start), (rows.stop, columns.stop), (2, 3))
    factors = [(out + _HALF) / size for out, size in zip(to.tops[0][2:], sizes, strict=True)]
    how = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    return to.op("Resize", x, None, np.array([1, 1, *factors], np.float32), **how)


@form("Upsample")
def upsample(to: Writer, x: Tensor, mask: Tensor | None) -> Tensor:
    if mask is not None:
        return _unpooled(to, x, mask)
    factors = [1.0] * (len(x.known) - 2) + [float(to.layer.scale)] * 2
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return to.op("Resize", x, None, np.array(factors, np.float32), **how)


def _unpooled(to: Writer, x: Tensor, mask: Tensor) -> Tensor:
    """Each x at the place in its plane that the mask says, zeros elsewhere."""
    to.fixed(x, (2, 3))
    places = to.cast(to.reshape(mask, (0, 0, -1)), "int64")
    planes = to.op("Concat", to.op("Slice", to.op("Shape", x), (0,), (2,)), (prod(to.tops[0][2:]),), axis=0)
    zeros = to.op("Expand", 0.0, planes)
    return to.like_top(to.op("ScatterElements", zeros, places, to.reshape(x, (0, 0, -1)), axis=2))
