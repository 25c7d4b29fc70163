"""Which classes are taken for which, and for background: at one score, a count of every object and detection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caffelite.boxes.boxes import overlaps
from caffelite.detection.dataset import DetectionSet, Picture

IOU = 0.5


@dataclass(frozen=True, eq=False)
class Verdict:
    """What became of one picture.

    ``truth``, ``said``: labels, (P,) each, of the pairs of an object and a detection; ``missed``: the objects (M,), and
    ``invented``: the rows of detections (K, 6), that found no partner. Difficult objects, and the detections that lie
    on them, are in none of these.
    """

    picture: Picture
    shown: np.ndarray  # (D, 6) rows at or above the score
    truth: np.ndarray
    said: np.ndarray
    missed: np.ndarray
    invented: np.ndarray

    @property
    def mistakes(self) -> int:
        return int(np.count_nonzero(self.truth != self.said)) + len(self.missed) + len(self.invented)


def verdicts(dataset: DetectionSet, detections: Mapping[str, np.ndarray], score: float) -> Iterator[Verdict]:
    """One of each picture, of detections (label, score, box) with at least this score.

    Detections by falling score take the free object of their own class that they overlap most, above one half; then
    those that are left take, likewise, objects of other classes.
    """
    for picture in dataset.pictures:
        rows = detections.get(picture.key, np.empty((0, 6), np.float32))
        rows = rows[rows[:, 1] >= score]
        yield _verdict(picture, rows[np.argsort(-rows[:, 1], kind="stable")])


def confusion(found: Sequence[Verdict], classes: int) -> np.ndarray:
    """Counts int64 (C + 1, C + 1) of truth (rows) and answer (columns); 0 is background: what was missed or invented."""
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    for verdict in found:
        np.add.at(matrix, (verdict.truth, verdict.said), 1)
        np.add.at(matrix, (verdict.picture.labels[verdict.missed], 0), 1)
        np.add.at(matrix[0], verdict.invented[:, 0].astype(np.int64), 1)
    return matrix


def _verdict(picture: Picture, rows: np.ndarray) -> Verdict:
    said = rows[:, 0].astype(np.int64)
    table = overlaps(rows[:, 2:], picture.boxes)
    partner = np.full(len(rows), -1)
    same = said[:, None] == picture.labels
    for allowed in (same, ~same):
        _pair(np.where(allowed, table, 0), partner, picture.difficult)
    on_difficult = (table[:, picture.difficult] > IOU).any(axis=1)
    paired, missed = partner >= 0, ~picture.difficult
    missed[partner[paired]] = False
    return Verdict(
        picture,
        rows,
        picture.labels[partner[paired]],
        said[paired],
        np.flatnonzero(missed),
        rows[~paired & ~on_difficult],
    )


def _pair(table: np.ndarray, partner: np.ndarray, difficult: np.ndarray) -> None:
    """Fills in partners of detections that have none, from overlaps (D, G)."""
    if not table.size:
        return
    free = np.ones(table.shape[1], bool)
    free[partner[partner >= 0]] = False
    for d in np.flatnonzero((partner < 0) & (table.max(axis=1) > IOU)):
        row = np.where(free & ~difficult, table[d], 0)
        best = int(row.argmax())
        if row[best] > IOU:
            partner[d], free[best] = best, False
