"""Sliding windows: the same boxes for every image of a size, whatever is in it. What other methods are measured against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffelite.detection.proposals.tidy import Boxes, falling, tidy
from caffelite.random import RandomSource

_STEPS = (
    8.0,
    6.0,
    5.0,
    4.0,
    3.0,
    2.5,
    2.0,
    1.5,
    1.0,
    0.7,
    0.5,
)  # steps to the side of a window: fine to coarse
_GROWTH = 2**0.5


def sliding(
    image: np.ndarray,
    *,
    limit: int = 2000,
    seed: int = 0,
    min_side: int = 20,
    ratios: Sequence[float] = (0.5, 1.0, 2.0),
) -> Boxes:
    """Windows of an image (H, W, 3), heights to widths of ``ratios``, each size 1.41 times the one before, and the image.

    Every size may have as many windows as every other; those of large sizes, which need fewer, go to smaller ones. 0 as
    ``limit``: all, at the finest. The order is random, by ``seed``: no window is better than another.
    """
    height, width = image.shape[:2]
    grids, count = [np.array([[0.0, 0, width - 1, height - 1]])], 1
    sizes = _sizes(height, width, min_side, ratios)
    for left, (w, h) in zip(range(len(sizes), 0, -1), sizes, strict=True):
        share = (limit - count) / left if limit else np.inf
        grid = next(
            (g for steps in _STEPS if len(g := _grid(height, width, w, h, steps)) <= share), grids[0][:0]
        )
        grids.append(grid)
        count += len(grid)
    boxes, _ = tidy(np.concatenate(grids), np.zeros(count), image.shape, min_side=min_side)
    order = RandomSource(seed).permutation(len(boxes), "sliding")[: limit or None]
    return boxes[order], falling(len(order))


def _sizes(height: int, width: int, min_side: int, ratios: Sequence[float]) -> list[tuple[float, float]]:
    """Widths and heights that fit in, the largest first."""
    sizes = []
    for ratio in ratios:
        w = max(min_side, min_side / ratio)
        while w <= width and w * ratio <= height:
            sizes.append((w, w * ratio))
            w *= _GROWTH
    return sorted(sizes, key=lambda size: -size[0] * size[1])


def _grid(height: int, width: int, w: float, h: float, steps: float) -> np.ndarray:
    x = np.linspace(0, width - w, max(1, round((width - w) / w * steps) + 1))
    y = np.linspace(0, height - h, max(1, round((height - h) / h * steps) + 1))
    left, top = (grid.ravel() for grid in np.meshgrid(x, y))
    return np.column_stack([left, top, left + w - 1, top + h - 1])
