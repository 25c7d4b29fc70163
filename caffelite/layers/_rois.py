"""Regions of interest: rows of a bottom, each (item, x1, y1, x2, y2) with corners in pixels of the net's input."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from caffelite.errors import DataError, layer_message
from caffelite.layers.base import Layer
from caffelite.types import Shape, count

_FAR = 1e9  # pixels; what lies farther out is as empty as what lies here, and still an integer

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def check_rois(layer: Layer, x: Shape, rois: Shape) -> None:
    """Raises ShapeError unless x is (N, C, H, W) and rois (R, 5), or (R, 5, 1, 1)."""
    if len(x) != 4:
        raise layer.shape_error("x (N, C, H, W)", f"x={x}")
    if len(rois) < 2 or rois[1] != 5 or count(rois, 2) != 1:
        raise layer.shape_error("rois (R, 5), rows of batch index, x1, y1, x2, y2", f"rois={rois}")


def read_rois(layer: Layer, rois: Any, items: int) -> tuple[Ints, Floats]:
    """The batch index of each region, and its corners x1, y1, x2, y2 (R, 4).

    Always float32 in host memory, on every engine, because Caffe's bins depend on how float32 rounds.
    Raises DataError for a batch index outside 0 to ``items`` - 1 and for corners that are not finite.
    """
    rows = np.array(rois.tolist(), np.float32).reshape(-1, 5)
    index = np.trunc(rows[:, 0])
    fits = (index >= 0) & (index < items)
    good = fits & np.isfinite(rows).all(axis=1)
    if not good.all():
        at = int(good.argmin())
        expected = "expected finite corners" if fits[at] else f"expected batch indices from 0 to {items - 1}"
        got = f"({', '.join(f'{value:g}' for value in rows[at].tolist())}) as roi {at}"
        raise DataError(layer_message(layer.name, layer.type, layer.location(), f"{expected} in rois", got))
    return index.astype(np.int64), np.clip(rows[:, 1:], -_FAR, _FAR)


def rounded(values: Floats) -> Floats:
    """Rounds as C does, halves away from zero (NumPy rounds them to even)."""
    whole = np.trunc(values)
    return np.asarray(whole + np.copysign(np.abs(values - whole) >= 0.5, values), np.float32)
