"""All that is known of how good detections are, in one report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.detection.dataset import DetectionSet
from caffelite.detection.detections import by_class, check
from caffelite.detection.evaluation import coco, voc
from caffelite.detection.evaluation.confusion import Verdict, confusion, verdicts
from caffelite.errors import UsageError

SCORE = 0.5
"""From which score on a detection stands in the confusion matrix and the list of worst pictures."""

_FRACTIONS = 1.5  # boxes that all lie below are shares of the picture, not pixels


@dataclass(frozen=True, eq=False)
class ClassResult:
    """One class. ``note`` says why its AP is 0 or missing; ``coco``, ``coco50``: -1 without objects."""

    name: str
    detections: int
    curve: voc.Curve
    coco: float
    coco50: float
    note: str = ""


@dataclass(frozen=True, eq=False)
class Report:
    """What :func:`evaluate` found.

    ``confusion``: int64 (C + 1, C + 1), truth in rows, answers in columns, 0 is background.
    ``worst``: the pictures with mistakes at ``score`` or above, most mistakes first.
    ``notes``: what should be known before a number is believed.
    """

    dataset: DetectionSet
    classes: tuple[ClassResult, ...]
    coco: dict[str, float]
    confusion: np.ndarray
    worst: tuple[Verdict, ...]
    score: float
    notes: tuple[str, ...] = field(default=())

    @property
    def map07(self) -> float:
        """Mean 11-point AP of the classes that have objects; NaN if none has."""
        return _mean([one.curve.ap07 for one in self.classes])

    @property
    def map(self) -> float:
        """Mean area AP of the classes that have objects; NaN if none has."""
        return _mean([one.curve.ap for one in self.classes])

    def text(self) -> str:
        """The tables as text, ending with notes."""
        from caffelite.detection.evaluation.pages import text

        return text(self)

    def as_dict(self) -> dict[str, Any]:
        """All numbers, as they are written to JSON; what is not defined is None."""
        from caffelite.detection.evaluation.pages import as_dict

        return as_dict(self)

    def write(self, folder: str | os.PathLike[str], pictures: int = 12) -> Path:
        """Writes report.html, report.json and report.csv, with charts and the worst pictures; returns the HTML file.

        Raises:
            SnapshotError: they cannot be written there.
        """
        from caffelite.detection.evaluation.pages import write

        return write(self, folder, pictures)


def evaluate(dataset: DetectionSet, detections: Mapping[str, np.ndarray], *, score: float = SCORE) -> Report:
    """Compares detections with what is in the pictures.

    ``detections``: key of a picture -> rows label, score, x1, y1, x2, y2 (K, 6), boxes in pixels from 0, both corners
    inside. ``score``: from which on mistakes are counted; average precision takes all detections.

    Raises:
        DataError: the detections are of other pictures, have labels that the set has not, or are not finite.
        UsageError: the set has no classes.
    """
    if not dataset.classes:
        raise UsageError(f"set '{dataset.name}' has no classes, so nothing can be evaluated")
    checked = check(dataset, detections)
    numbers = coco.summarise(dataset, checked)
    counts = by_class(checked)
    curves = [voc.curve(dataset.pictures, checked, label) for label in range(1, len(dataset.classes) + 1)]
    classes = tuple(
        ClassResult(
            name,
            counts[k + 1],
            curve,
            float(numbers.ap[k]),
            float(numbers.ap50[k]),
            _why(curve, counts[k + 1]),
        )
        for k, (name, curve) in enumerate(zip(dataset.classes, curves, strict=True))
    )
    found = list(verdicts(dataset, checked, score))
    worst = sorted((one for one in found if one.mistakes), key=lambda one: -one.mistakes)
    matrix = confusion(found, len(dataset.classes))
    notes = (*getattr(detections, "notes", ()), *_notes(dataset, checked, classes))
    return Report(dataset, classes, numbers.numbers, matrix, tuple(worst), score, notes)


def _mean(values: Sequence[float]) -> float:
    valid = [value for value in values if not np.isnan(value)]
    return float(np.mean(valid)) if valid else float("nan")


def _why(curve: voc.Curve, detections: int) -> str:
    """Why a class has no AP, or one of 0."""
    if not curve.objects:
        what = f"all {curve.difficult} are difficult" if curve.difficult else "the data has none"
        return f"no object to find: {what}; not part of the means"
    if not detections:
        return f"nothing was detected of {curve.objects} objects"
    if curve.ap > 0:
        return ""
    return f"no detection overlaps an object by more than {voc.IOU:g}; the best by {curve.best:.2f}"


def _notes(
    dataset: DetectionSet, detections: Mapping[str, np.ndarray], classes: Sequence[ClassResult]
) -> list[str]:
    known = {picture.key for picture in dataset.pictures}
    others = sum(key not in known for key in detections)
    without = sum(key not in detections for key in known)
    rows = np.concatenate([np.empty((0, 6), np.float32), *detections.values()])
    notes = []
    if others:
        notes.append(
            f"{others} of {len(detections)} pictures with detections are not in the data, and left out"
        )
    if without:
        notes.append(f"{without} of {len(known)} pictures have no detections")
    if not len(rows):
        notes.append("there are no detections at all")
    elif rows[:, 2:].max() <= _FRACTIONS:
        notes.append("boxes look like shares of the picture (all at most 1.5); pixels are expected")
    if len(rows) and all(one.curve.ap == 0 for one in classes if one.curve.objects):
        notes.append(
            f"every AP is 0: is '{dataset.name}' the set that was detected in, and are its classes in the same order?"
        )
    return notes
