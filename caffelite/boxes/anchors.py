"""Anchors of a region proposal network: the boxes at every position of a map that proposals are coded against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffelite.boxes.boxes import Array


def base_anchors(
    size: float = 16,
    ratios: Sequence[float] = (0.5, 1, 2),
    scales: Sequence[float] = (8, 16, 32),
) -> Array:
    """The anchors (A, 4) float32 at the map's first position, all scales of the first ratio (height / width) first.

    Each is centred in a square of ``size`` pixels at the origin. A ratio's width is rounded to whole pixels, then its
    height (halves to even), and only then are both scaled; so the published anchors come out exactly.
    """
    middle = (size - 1) / 2
    widths = np.round(np.sqrt(size * size / np.asarray(ratios, np.float64)))
    heights = np.round(widths * np.asarray(ratios, np.float64))
    sides = np.stack([widths, heights], axis=1)[:, None] * np.asarray(scales, np.float64)[:, None]
    half = (sides.reshape(-1, 2) - 1) / 2
    return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)


def shifted(base: Array, stride: float, height: int, width: int) -> Array:
    """Anchors (height * width * A, 4) at all positions of a map, ``stride`` pixels of the image apart.

    Row by row, in a row by column, all A of a position together. Type of ``base``.
    """
    x, y = np.meshgrid(np.arange(width) * stride, np.arange(height) * stride)
    shifts = np.stack([x, y, x, y], axis=-1).reshape(-1, 1, 4)
    anchors: Array = (base + shifts).reshape(-1, 4).astype(base.dtype)
    return anchors
