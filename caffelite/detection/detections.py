"""Detections of a set, and one in the hand of a user; their files are in :mod:`caffelite.detection.detection_files`.

Of a set: key of a picture -> float32 rows label, score, x1, y1, x2, y2 (K, 6); labels from 1, in the order of the set's
classes; boxes in pixels from 0, both corners inside. A picture that is not among the keys has none.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from caffelite.detection.dataset import DetectionSet
from caffelite.errors import DataError

COLUMNS = ("label", "score", "x1", "y1", "x2", "y2")
_SHOWN = 3


class Detection(NamedTuple):
    """One object that was found: its box (x1, y1, x2, y2), the name of its class, its score."""

    box: tuple[float, float, float, float]
    label: str
    score: float


class Detections(dict[str, np.ndarray]):
    """Detections of a set by keys of pictures. ``notes``: what was odd about the file they come from."""

    def __init__(self, items: Mapping[str, np.ndarray] | None = None, notes: Iterable[str] = ()):
        super().__init__(items or {})
        self.notes = list(notes)


def as_list(rows: np.ndarray, classes: Sequence[str]) -> list[Detection]:
    """Rows (K, 6) as :class:`Detection`, in their order."""
    return [
        Detection((x1, y1, x2, y2), classes[int(label) - 1], score)
        for label, score, x1, y1, x2, y2 in rows.tolist()
    ]


def check(dataset: DetectionSet, detections: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Detections in the type and shape they are to have. Raises DataError for what cannot be detections of the set."""
    checked = {key: _checked(key, rows, len(dataset.classes)) for key, rows in detections.items()}
    known = {picture.key for picture in dataset.pictures}
    unknown = [key for key in checked if key not in known]
    if unknown and len(unknown) == len(checked):
        example = dataset.pictures[0].key if dataset.pictures else "none"
        raise DataError(
            f"none of the detections is of a picture of set '{dataset.name}': got {_some(unknown)}, expected keys like '{example}'\n"
            "  Fix: name the data and the split that were detected in"
        )
    return checked


def _checked(key: str, rows: np.ndarray, classes: int) -> np.ndarray:
    rows = np.asarray(rows, np.float32)
    rows = rows.reshape(-1, len(COLUMNS)) if not rows.size else rows
    if rows.ndim != 2 or rows.shape[1] != len(COLUMNS):
        raise DataError(
            f"detections of '{key}': expected rows {', '.join(COLUMNS)} (K, 6), got shape {rows.shape}"
        )
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise DataError(f"detections of '{key}': row {bad} is not finite: {rows[bad].tolist()}")
    labels = rows[:, 0]
    wrong = (labels < 1) | (labels > classes) | (labels != np.floor(labels))
    if wrong.any():
        raise DataError(
            f"detections of '{key}': expected labels from 1 to {classes} (background, 0, is never detected), "
            f"got {labels[wrong][0]:g}"
        )
    return rows


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:_SHOWN]) + more


def by_class(detections: Mapping[str, np.ndarray]) -> Counter[int]:
    """How many detections there are of each label."""
    counts: Counter[int] = Counter()
    for rows in detections.values():
        counts.update(rows[:, 0].astype(int).tolist())
    return counts


def read_detections(path: str | os.PathLike[str], dataset: DetectionSet) -> Detections:
    """Detections from a file, or from a folder of VOC's result files: see :mod:`caffelite.detection.detection_files`."""
    from caffelite.detection import detection_files

    return detection_files.read(path, dataset)


def write_detections(
    path: str | os.PathLike[str],
    detections: Mapping[str, np.ndarray],
    dataset: DetectionSet,
    split: str = "test",
) -> None:
    """Detections to .npz, .json, .csv, or to a folder: see :mod:`caffelite.detection.detection_files`."""
    from caffelite.detection import detection_files

    detection_files.write(path, detections, dataset, split)
