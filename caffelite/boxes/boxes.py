"""Areas, overlaps, clipping, mirroring, and the two codings of a box relative to another.

Fast and Faster R-CNN as of 2015 count a box's width as x2 - x1 + 1 (``encode``, ``decode``). R-CNN and the first Fast
R-CNN counted x2 - x1 (``encode_rcnn``, ``decode_rcnn``): weights learned with one are off by a pixel with the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_EPS = 1e-14  # keeps widths of the old coding above 0


def areas(b: Array) -> Array:
    """Pixels of each box (K,), both corners included."""
    pixels: Array = (b[:, 2] - b[:, 0] + 1) * (b[:, 3] - b[:, 1] + 1)
    return pixels


def overlaps(a: Array, b: Array) -> Array:
    """Intersection over union of every box of ``a`` (A, 4) with every one of ``b`` (B, 4): float64 (A, B).

    Computed in float64, as the original detectors do, so that equal overlaps come out equal. Boxes that do not
    meet have 0.
    """
    if len(a) > len(b):  # NumPy is fast along a long last axis
        return overlaps(b, a).T
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    width = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0]) + 1
    height = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1]) + 1
    common = np.maximum(width, 0) * np.maximum(height, 0)
    union = areas(a)[:, None] + areas(b) - common
    shares: Array = np.divide(common, union, out=np.zeros_like(common), where=common > 0)
    return shares


def clip(b: Array, height: float, width: float) -> Array:
    """The boxes (K, 4), or (K, 4 C) with C boxes a row, cut to an image: x from 0 to width - 1, y to height - 1."""
    out = np.empty_like(b)
    for i, size in enumerate((width, height, width, height)):
        np.clip(b[:, i::4], 0, size - 1, out=out[:, i::4])
    return out


def flip(b: Array, width: float) -> Array:
    """The boxes (K, 4) in the mirror image of an image ``width`` pixels wide."""
    out = b.copy()
    out[:, 0], out[:, 2] = width - b[:, 2] - 1, width - b[:, 0] - 1
    return out


def encode(rois: Array, gt: Array) -> Array:
    """Where ``gt`` (K, 4) lies relative to ``rois`` (K, 4): rows dx, dy, dw, dh.

    dx and dy move the centre, in widths and heights of the roi; dw and dh are logarithms of what its sides are
    multiplied with. Widths are x2 - x1 + 1 and the centre is x1 + width / 2.
    """
    return _encode(rois, gt, 1)


def decode(rois: Array, deltas: Array) -> Array:
    """The boxes that ``deltas`` (K, 4 C), C boxes for each roi, make of ``rois`` (K, 4): (K, 4 C).

    As in the original x2 is centre + width / 2, not one less: ``decode(rois, encode(rois, gt))`` has x2 and y2 one
    larger than ``gt``. Published weights expect this. Type of ``deltas``; what overflows becomes infinite.
    """
    return _decode(rois, deltas, 1)


def encode_rcnn(rois: Array, gt: Array) -> Array:
    """``encode`` with widths x2 - x1, as R-CNN and the first Fast R-CNN have them."""
    return _encode(rois, gt, _EPS)


def decode_rcnn(rois: Array, deltas: Array) -> Array:
    """``decode`` with widths x2 - x1, the inverse of ``encode_rcnn``."""
    return _decode(rois, deltas, _EPS)


def _frame(b: Array, extra: float) -> tuple[Array, Array]:
    """Centres and sizes, (K, 2) each."""
    sizes = b[:, 2:4] - b[:, 0:2] + b.dtype.type(extra)
    return b[:, 0:2] + b.dtype.type(0.5) * sizes, sizes


def _encode(rois: Array, gt: Array, extra: float) -> Array:
    centres, sizes = _frame(rois, extra)
    gt_centres, gt_sizes = _frame(gt, extra)
    return np.concatenate([(gt_centres - centres) / sizes, np.log(gt_sizes / sizes)], axis=1)


def _decode(rois: Array, deltas: Array, extra: float) -> Array:
    centres, sizes = _frame(rois.astype(deltas.dtype, copy=False), extra)
    codes = deltas.reshape(len(deltas), deltas.shape[1] // 4, 4)
    with np.errstate(over="ignore"):
        middle = codes[:, :, :2] * sizes[:, None] + centres[:, None]
        half = np.exp(codes[:, :, 2:]) * sizes[:, None] * deltas.dtype.type(0.5)
    return np.concatenate([middle - half, middle + half], axis=2).reshape(deltas.shape)
