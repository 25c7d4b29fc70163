"""The twelve numbers of COCO, equal to those of its own evaluation for boxes.

COCO's boxes x, y, width, height have no pixel more at the end; x2 - x1 + 1 is that width, so the overlaps are those of
the rest of this package. What differs from PASCAL VOC: ten thresholds of overlap, at which an overlap counts from the
threshold on; a detection goes to the best object that is still free; crowds take any number of detections, by the part
of the detection that lies in them; at most 100 detections of a class in a picture; precision at 101 recalls.

Objects marked difficult, which COCO does not have, are left out as objects of another size are: they are nobody's
mistake. A detection may still be given to one.

Source: "Microsoft COCO: Common Objects in Context" (Lin et al., 2014) and its cocoeval.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caffelite.boxes.boxes import areas
from caffelite.detection.dataset import DetectionSet, Picture

THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_SIZES = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
_LIMITS = (1, 10, 100)
_RANGES = np.array(list(_SIZES.values()))
_SURE = 1 - 1e-10  # a threshold of 1 is met by rounded overlaps
_TINY = np.finfo(np.float64).eps

NAMES = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
         "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Summary:
    """The twelve numbers by name, -1 for those that no object decides, and AP and AP50 of each class likewise."""

    numbers: dict[str, float]
    ap: np.ndarray  # (C,)
    ap50: np.ndarray  # (C,)


@dataclass(frozen=True, eq=False)
class _Matches:
    """What became of the detections of one class in one picture, for S sizes and T thresholds.

    ``matched``, ``ignored``: bool (S, T, D); ``objects``: (S,) how many count.
    """

    scores: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    objects: np.ndarray


def summarise(dataset: DetectionSet, detections: Mapping[str, np.ndarray]) -> Summary:
    """COCO's numbers. ``detections``: key of a picture -> rows label, score, x1, y1, x2, y2 (K, 6)."""
    precision = np.full(
        (len(THRESHOLDS), len(_RECALLS), len(dataset.classes), len(_SIZES), len(_LIMITS)), -1.0
    )
    recall = np.full((len(THRESHOLDS), len(dataset.classes), len(_SIZES), len(_LIMITS)), -1.0)
    for c in range(len(dataset.classes)):
        matches = _class_matches(dataset.pictures, detections, c + 1)
        for s in range(len(_SIZES)):
            for m, limit in enumerate(_LIMITS):
                _accumulate(matches, s, limit, precision[:, :, c, s, m], recall[:, c, s, m])
    full = precision[..., 0, -1]
    each = [(_mean(full[:, :, c]), _mean(full[:1, :, c])) for c in range(len(dataset.classes))]
    ap, ap50 = np.array(each).reshape(-1, 2).T
    return Summary(dict(zip(NAMES, _numbers(precision, recall), strict=True)), ap, ap50)


def _numbers(precision: np.ndarray, recall: np.ndarray) -> list[float]:
    full = precision[..., -1]
    return [
        *(_mean(full[rows, ..., 0]) for rows in (slice(None), slice(0, 1), slice(5, 6))),
        *(_mean(full[..., size]) for size in (1, 2, 3)),
        *(_mean(recall[..., 0, limit]) for limit in range(len(_LIMITS))),
        *(_mean(recall[..., size, -1]) for size in (1, 2, 3)),
    ]


def _mean(values: np.ndarray) -> float:
    valid = values[values > -1]
    return float(valid.mean()) if valid.size else -1.0


def _class_matches(
    pictures: Sequence[Picture], detections: Mapping[str, np.ndarray], label: int
) -> list[_Matches]:
    found = []
    for picture in pictures:
        rows = detections.get(picture.key, np.empty((0, 6), np.float32))
        rows = rows[rows[:, 0] == label]
        if len(rows) or (picture.labels == label).any():
            rows = rows[np.argsort(-rows[:, 1], kind="stable")][: _LIMITS[-1]].astype(np.float64)
            found.append(_match(picture, rows, label))
    return found


def _match(picture: Picture, rows: np.ndarray, label: int) -> _Matches:
    mine = picture.labels == label
    crowd, sizes = picture.crowd[mine], picture.areas[mine].astype(np.float64)
    left_out = (picture.crowd | picture.difficult)[mine] | _outside(sizes)  # (S, G)
    table = _overlaps(rows[:, 2:], picture.boxes[mine].astype(np.float64), crowd)
    shape = (len(_SIZES), len(THRESHOLDS), len(rows))
    matched, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    if table.size:
        _assign(table, crowd, left_out, matched, ignored)
    ignored |= ~matched & _outside(areas(rows[:, 2:]))[:, None]
    return _Matches(rows[:, 1], matched, ignored, np.count_nonzero(~left_out, axis=1))


def _outside(sizes: np.ndarray) -> np.ndarray:
    """Which areas (K,) lie outside each of the ranges of size: (S, K)."""
    return (sizes < _RANGES[:, :1]) | (sizes > _RANGES[:, 1:])


def _overlaps(a: np.ndarray, b: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Of detections (D, 4) with objects (G, 4): (D, G); with a crowd, the part of the detection that is in it."""
    width = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0]) + 1
    height = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1]) + 1
    common = np.maximum(width, 0) * np.maximum(height, 0)
    union = np.where(crowd, areas(a)[:, None], areas(a)[:, None] + areas(b) - common)
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=common > 0))


def _assign(
    table: np.ndarray, crowd: np.ndarray, left_out: np.ndarray, matched: np.ndarray, ignored: np.ndarray
) -> None:
    """Gives each detection, by falling score, the object it overlaps most of those that are free.

    An object that counts comes before one that does not; of equal overlaps the last wins. All sizes and
    thresholds at once: (S, T, G).
    """
    free = np.ones((*matched.shape[:2], table.shape[1]), bool)
    wanted = np.minimum(THRESHOLDS, _SURE)[:, None]
    counts = ~left_out[:, None]
    for d, row in enumerate(table):
        allowed = (free | crowd) & (row >= wanted)
        good = allowed & counts
        allowed = np.where(good.any(axis=2, keepdims=True), good, allowed)
        overlap = np.where(allowed, row, -1.0)
        which = overlap.shape[2] - 1 - overlap[..., ::-1].argmax(axis=2)
        some = allowed.any(axis=2)
        matched[..., d] = some
        ignored[..., d] = some & np.take_along_axis(left_out, which, axis=1)
        s, t = np.nonzero(some)
        free[s, t, which[s, t]] = False


def _accumulate(
    matches: list[_Matches], size: int, limit: int, precision: np.ndarray, recall: np.ndarray
) -> None:
    """Fills precision (T, R) and recall (T,) of one class, range of sizes and number of detections."""
    objects = sum(int(match.objects[size]) for match in matches)
    if not objects:
        return
    scores = np.concatenate([match.scores[:limit] for match in matches])
    order = np.argsort(-scores, kind="stable")
    matched = np.concatenate([match.matched[size, :, :limit] for match in matches], axis=1)[:, order]
    ignored = np.concatenate([match.ignored[size, :, :limit] for match in matches], axis=1)[:, order]
    tp = np.cumsum(matched & ~ignored, axis=1, dtype=np.float64)
    fp = np.cumsum(~matched & ~ignored, axis=1, dtype=np.float64)
    recalls = tp / objects
    precisions = tp / (fp + tp + _TINY)
    precisions = np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]
    recall[:] = recalls[:, -1] if len(scores) else 0
    for t in range(len(THRESHOLDS)):
        at = np.searchsorted(recalls[t], _RECALLS, side="left")
        precision[t] = np.concatenate([precisions[t], [0.0]])[at]
