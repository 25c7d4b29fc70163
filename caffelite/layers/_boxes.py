"""Boxes as SSD has them: rows of x1, y1, x2, y2 in shares of the image; decoding, overlap, suppression."""

from __future__ import annotations

from typing import Any


def decode(xp: Any, code: str, loc: Any, priors: Any, variances: Any) -> Any:
    """Predictions as boxes. All arrays (..., P, 4); ``variances`` None if the predictions contain them.

    CORNER adds to the corners, CORNER_SIZE does so in units of the prior's width and height, CENTER_SIZE moves
    the centre in these units and scales both by an exponential.
    """
    if variances is not None:
        loc = loc * variances
    if code == "CORNER":
        return priors + loc
    sizes = priors[..., 2:] - priors[..., :2]
    if code == "CORNER_SIZE":
        return priors + loc * xp.concatenate([sizes, sizes], axis=-1)
    centres = loc[..., :2] * sizes + (priors[..., :2] + priors[..., 2:]) / 2
    half = xp.exp(loc[..., 2:]) * sizes / 2
    return xp.concatenate([centres - half, centres + half], axis=-1)


def overlaps(xp: Any, box: Any, boxes: Any) -> Any:
    """Intersection over union of a box (4,) with each of (P, 4); 0 where they do not meet."""
    width = xp.minimum(box[2], boxes[:, 2]) - xp.maximum(box[0], boxes[:, 0])
    height = xp.minimum(box[3], boxes[:, 3]) - xp.maximum(box[1], boxes[:, 1])
    meet = (width > 0) & (height > 0)
    common = xp.where(meet, width * height, 0)
    union = areas(xp, box[None]) + areas(xp, boxes) - common
    return common / xp.where(meet, union, 1)


def areas(xp: Any, boxes: Any) -> Any:
    """Widths times heights of (P, 4); 0 for a box with a corner on the wrong side."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    return xp.where((sizes >= 0).all(axis=1), sizes[:, 0] * sizes[:, 1], 0)


def suppress(
    xp: Any, boxes: Any, scores: Any, lowest: float, top_k: int, threshold: float, eta: float
) -> Any:
    """Indices of the boxes (P, 4) that survive greedy suppression, the best score first.

    Those with a score above ``lowest`` are taken by falling score (equal ones in their order), the first
    ``top_k`` of them (-1: all); one whose overlap with a better survivor exceeds ``threshold`` goes. Each survivor
    multiplies the threshold by ``eta`` while it is above 0.5.
    """
    (left,) = xp.nonzero(scores > lowest)
    left = left[xp.argsort(-scores[left], kind="stable")]
    left = left[:top_k] if top_k > -1 else left
    largest = xp.zeros(len(left), boxes.dtype)  # overlap with any survivor so far
    kept = []
    while len(left):
        best, left, largest = left[0], left[1:], largest[1:]
        kept.append(int(best))
        if threshold > 0.5:
            threshold *= eta
        largest = xp.maximum(largest, overlaps(xp, boxes[best], boxes[left]))
        stay = largest <= threshold
        left, largest = left[stay], largest[stay]
    return xp.asarray(kept, dtype="int64")
