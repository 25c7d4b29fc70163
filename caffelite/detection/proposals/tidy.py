"""What all methods do with their boxes at the end."""

from __future__ import annotations

import numpy as np

from caffelite.boxes.boxes import clip

Boxes = tuple[np.ndarray, np.ndarray]
"""Boxes float32 (K, 4) and scores float32 (K,), best first."""

USUAL = 500
"""Pixels of the longer side of the images for which the methods were made."""


def tidy(
    boxes: np.ndarray, scores: np.ndarray, shape: tuple[int, ...], *, min_side: float = 0, limit: int = 0
) -> Boxes:
    """Boxes by falling score, inside an image of ``shape`` (H, W, ...), without doubles and small ones.

    Equal scores keep their order. ``min_side``: pixels of width and of height. ``limit``: how many stay, 0 for all.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    boxes = clip(boxes, *shape[:2])
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    boxes, scores = boxes[order], np.asarray(scores, np.float32)[order]
    large = (boxes[:, 2:] - boxes[:, :2] + 1 >= max(min_side, 1)).all(axis=1)
    boxes, scores = boxes[large], scores[large]
    _, firsts = np.unique(boxes, axis=0, return_index=True)
    kept = np.sort(firsts)[: limit or None]
    return boxes[kept], scores[kept]


def share_of_usual(shape: tuple[int, ...]) -> float:
    """How long the longer side of an image is beside that of PASCAL VOC's images, 500 pixels; 1 for longer ones.

    Limits of sizes were chosen for these. Kept as they are they would leave out, in small images, large objects.
    """
    return min(max(shape[:2]) / USUAL, 1.0)


def falling(count: int) -> np.ndarray:
    """Scores of boxes that have only an order: from 1 down, float32 (count,)."""
    return (1 - np.arange(count) / max(count, 1)).astype(np.float32)
