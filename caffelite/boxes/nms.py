"""Greedy non-maximum suppression, exact and in NumPy.

The boxes are taken in blocks by falling score. A block first meets the boxes kept so far, then its own boxes suppress
each other. Three things make that fast: the matrices of overlaps stay in the cache; a box meets only boxes whose area
allows an overlap above the threshold; blocks after the one in which ``limit`` is reached are never looked at.
``benchmarks/nms.py`` measures it beside the plain loop.
"""

from __future__ import annotations

import numpy as np

from caffelite.boxes.boxes import Array, areas

_BLOCK, _PART, _SLICE = 256, 32, 512  # boxes: of a block, of a part with like areas, of kept ones at a time
_SLACK = 0.999  # areas are rounded


def nms(boxes: Array, scores: Array, threshold: float, limit: int | None = None) -> Array:
    """Indices int64 of the boxes (K, 4) that survive, by falling score (K,); equal scores keep their order.

    A box goes if its overlap with a better survivor is above ``threshold``. At most ``limit`` stay. Overlaps are
    computed in the float type of ``boxes``, common / (area + area - common) with pixels counted inclusively.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    boxes = np.asarray(boxes)
    boxes = boxes.astype(np.result_type(boxes, np.float32), copy=False)[order]
    wanted = len(order) if limit is None else min(limit, len(order))
    with np.errstate(divide="ignore", invalid="ignore"):  # boxes without area overlap nothing
        return order[_Suppression(boxes, threshold).survivors(wanted)]


class _Suppression:
    """One run over boxes (K, 4) that stand in the order of their scores."""

    def __init__(self, boxes: Array, threshold: float):
        self.columns = np.concatenate([boxes, areas(boxes)[:, None]], axis=1).T.copy()
        self.areas = self.columns[4]
        self.threshold = threshold
        self.ratio = max(threshold, 0) * _SLACK  # of two areas, below which no overlap is above the threshold
        self.by_area = np.empty(0, np.int64)  # the boxes kept so far
        self.room = np.empty((3, max(_PART * _SLICE, _BLOCK * _BLOCK)), boxes.dtype)

    def survivors(self, wanted: int) -> Array:
        kept: list[Array] = [np.empty(0, np.int64)]
        for start in range(0, len(self.areas), _BLOCK):
            if len(self.by_area) >= wanted:
                break
            block = np.arange(start, min(start + _BLOCK, len(self.areas)))
            kept.append(self._among_themselves(self._uncovered(block)))
            self._keep(kept[-1])
        return np.concatenate(kept)[:wanted]

    def _keep(self, block: Array) -> None:
        new = block[np.argsort(self.areas[block])]
        places = np.searchsorted(self.areas[self.by_area], self.areas[new])
        self.by_area = np.insert(self.by_area, places, new)

    def _uncovered(self, block: Array) -> Array:
        """Those of a block that no kept box suppresses."""
        if not len(self.by_area):
            return block
        kept = self.areas[self.by_area]
        parts = np.split(block[np.argsort(self.areas[block])], range(_PART, len(block), _PART))
        left = []
        for part in parts:
            low = np.searchsorted(kept, self.areas[part[0]] * self.ratio)
            high = np.searchsorted(kept, self.areas[part[-1]] / np.float64(self.ratio), "right")
            for at in range(low, high, _SLICE):
                part = part[~self._above(part, self.by_area[at : min(at + _SLICE, high)]).any(axis=1)]
            left.append(part)
        return np.sort(np.concatenate(left))

    def _among_themselves(self, block: Array) -> Array:
        """Those of a block that no better one of the block suppresses."""
        pairs = np.triu(self._above(block, block), 1)
        alive = np.ones(len(block), bool)
        for i in np.flatnonzero(pairs.any(axis=1)):
            if alive[i]:
                alive &= ~pairs[i]
        return block[alive]

    def _above(self, a: Array, b: Array) -> Array:
        """Whether the overlaps of boxes ``a`` (A,) with boxes ``b`` (B,) are above the threshold: (A, B)."""
        x1, y1, x2, y2, area = self.columns[:, a][:, :, None]
        bx1, by1, bx2, by2, b_area = self.columns[:, b]
        common, height, work = self.room[:, : len(a) * len(b)].reshape(3, len(a), len(b))
        np.minimum(x2, bx2, out=common)
        common -= np.maximum(x1, bx1, out=work)
        common += 1
        np.maximum(common, 0, out=common)
        np.minimum(y2, by2, out=height)
        height -= np.maximum(y1, by1, out=work)
        height += 1
        common *= np.maximum(height, 0, out=height)
        np.add(area, b_area, out=work)
        work -= common
        common /= work
        return np.asarray(common > self.threshold)
