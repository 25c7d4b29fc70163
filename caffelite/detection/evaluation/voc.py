"""Average precision of PASCAL VOC, as the challenge of 2007 and those after it computed it.

Detections of a class are taken by falling score over all pictures, equal scores in their order. Each goes to the object
of its class and picture that it overlaps most. It is right if that overlap is above one half and nobody took the object
before; it does not count at all if the object is difficult; else it is wrong.

The originals read detections from result files, with scores of three decimals and coordinates of one. So many scores become
equal, which moves AP in the third decimal; here they are rounded the same way, whatever file they come from.

Source: voc_eval.py of Fast R-CNN, VOCevaldet.m of the development kit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caffelite.boxes.boxes import overlaps
from caffelite.detection.dataset import Picture

IOU = 0.5  # an overlap has to be above it
_TINY = np.finfo(np.float64).eps


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall of one class, a point for each detection by falling score.

    ``scores``, ``recall``, ``precision``: float64 (K,). Without objects ``recall`` is NaN.
    ``objects``: how many there are that are not difficult. ``best``: the largest overlap of any detection, 0 if none.
    """

    objects: int
    difficult: int
    scores: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    best: float

    @property
    def ap07(self) -> float:
        """Average precision at 11 recalls, as of VOC 2007; NaN without objects."""
        return eleven_points(self.recall, self.precision) if self.objects else np.nan

    @property
    def ap(self) -> float:
        """Area under the curve, as of VOC 2010 and later; NaN without objects."""
        return area(self.recall, self.precision) if self.objects else np.nan


def eleven_points(recall: np.ndarray, precision: np.ndarray) -> float:
    """Mean over the recalls 0, .1 ... 1 of the best precision at that recall or above."""
    at = np.arange(0.0, 1.1, 0.1)  # .30000000000000004 for .3, as the originals have it
    return float(np.mean([np.max(precision, initial=0, where=recall >= t) for t in at]))


def area(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the curve, whose precision at a recall is the best at that recall or above."""
    r = np.concatenate([[0.0], recall, [1.0]])
    p = np.concatenate([[0.0], precision, [0.0]])
    p = np.maximum.accumulate(p[::-1])[::-1]
    return float(np.sum(np.diff(r) * p[1:]))


def curve(
    pictures: Sequence[Picture], detections: Mapping[str, np.ndarray], label: int, iou: float = IOU
) -> Curve:
    """The curve of one class. ``detections``: key of a picture -> rows label, score, x1, y1, x2, y2 (K, 6)."""
    scores, found, best = [np.empty(0)], [np.empty(0, np.int64)], 0.0
    difficult = np.concatenate([p.difficult[p.labels == label] for p in pictures] or [np.empty(0, bool)])
    first = 0
    for picture in pictures:
        truth = picture.boxes[picture.labels == label]
        rows = detections.get(picture.key)
        if rows is not None and len(rows := rows[rows[:, 0] == label]):
            score, boxes = _as_written(rows)
            which, overlap = _nearest(boxes, truth.astype(np.float64) + 1)
            scores.append(score)
            found.append(np.where(overlap > iou, which + first, -1))
            best = max(best, float(overlap.max()))
        first += len(truth)
    return _curve(np.concatenate(scores), np.concatenate(found), difficult, best)


def _as_written(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores (K,) and boxes (K, 4), counted from 1, float64, of rows (K, 6), with the decimals of VOC's result files."""
    exact = rows.astype(np.float64)
    return np.round(exact[:, 1], 3), np.round(exact[:, 2:] + 1, 1)


def _nearest(boxes: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each box (K, 4) the object that it overlaps most, the first of equals, and that overlap."""
    if not len(truth):
        return np.zeros(len(boxes), np.int64), np.zeros(len(boxes))
    table = overlaps(boxes, truth)
    return table.argmax(axis=1), table.max(axis=1)


def _curve(scores: np.ndarray, found: np.ndarray, difficult: np.ndarray, best: float) -> Curve:
    """``found``: the object that each detection goes to, -1 for none."""
    order = np.argsort(-scores, kind="stable")
    scores, found = scores[order], found[order]
    ignored = np.zeros(len(found), bool)
    ignored[found >= 0] = difficult[found[found >= 0]]
    right = np.zeros(len(found), bool)
    _, firsts = np.unique(found, return_index=True)
    right[firsts] = True  # whoever comes later finds the object taken
    right &= (found >= 0) & ~ignored
    tp, fp = np.cumsum(right), np.cumsum(~right & ~ignored)
    objects = int(np.count_nonzero(~difficult))
    recall = tp / objects if objects else np.full(len(tp), np.nan)
    precision = tp / np.maximum(tp + fp, _TINY)
    return Curve(objects, len(difficult) - objects, scores, recall, precision, best)
