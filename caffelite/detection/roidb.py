"""From a data set to the list of images and boxes that training nets' data layers take: py-faster-rcnn's roidb.

One entry for each picture, and one for its mirror image::

    image, key, source, flipped, width, height
    boxes (K, 4) float32       annotated boxes, then proposals
    gt_classes (K,) int64      class of the annotated ones, 0 for proposals

and with proposals

    max_overlaps (K,), max_classes (K,), bbox_targets (K, 5) rows of class, dx, dy, dw, dh

Pictures without objects stay: all that is in them is background.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from caffelite.boxes.boxes import Array, clip, encode, flip, overlaps
from caffelite.boxes.config import cfg
from caffelite.detection.dataset import DetectionSet, Picture
from caffelite.errors import DataError

_log = logging.getLogger(__name__)

_SHOWN = 5  # places in one message

Entry = dict[str, Any]


def make_roidb(
    dataset: DetectionSet,
    *,
    flipped: bool,
    proposals: Mapping[str, tuple[Array, Array]] | None = None,
    num_classes: int,
    difficult: bool = False,
) -> list[Entry]:
    """The entries of all pictures, then, if ``flipped``, those of their mirror images.

    ``num_classes`` counts the background. Objects that are marked difficult, and crowds, are left out unless
    ``difficult``. Corners in the wrong order are exchanged, boxes cut to their picture, and boxes with nothing of it in
    them left out, with a warning that names files. ``cfg.TRAIN`` gives thresholds.

    Raises DataError, with all files: boxes that are not finite, labels that there are not, pictures without proposals,
    no pictures.
    """
    if not dataset.pictures:
        raise DataError(f"data set '{dataset.name}' has no pictures to train with")
    cured = _Cured(num_classes, difficult)
    truth = [cured.boxes_of(picture) for picture in dataset.pictures]
    cured.tell()
    if proposals is not None:
        _require_proposals(dataset, proposals)
    entries = [
        _entry(picture, *found, _proposed(picture, proposals))
        for picture, found in zip(dataset.pictures, truth, strict=True)
    ]
    if flipped:
        entries += [_mirrored(entry) for entry in entries]
    if proposals is not None:
        for entry in entries:
            _add_targets(entry)
    return entries


def normalisation(roidb: Sequence[Mapping[str, Any]], num_classes: int) -> tuple[Array, Array]:
    """Means and standard deviations (C, 4) float64 of the box targets of each class in a roidb with proposals.

    As ``cfg.TRAIN`` says: none (0 and 1), the precomputed ones, or those of all regions. A class that has fewer than
    two, or all of the same code, has the precomputed deviations, since a division by 0 helps nobody.
    """
    c = cfg.TRAIN
    means, stds = np.zeros((num_classes, 4)), np.ones((num_classes, 4))
    if not c.BBOX_NORMALIZE_TARGETS:
        return means, stds
    means[1:], stds[1:] = c.BBOX_NORMALIZE_MEANS, c.BBOX_NORMALIZE_STDS
    if c.BBOX_NORMALIZE_TARGETS_PRECOMPUTED:
        return means, stds
    rows = np.concatenate([np.asarray(entry["bbox_targets"], np.float64) for entry in roidb])
    for label in range(1, num_classes):
        codes = rows[rows[:, 0] == label, 1:]
        if len(codes):
            means[label] = codes.mean(axis=0)
            spread = codes.std(axis=0)
            stds[label] = np.where(spread > 1e-6, spread, stds[label])
    return means, stds


def normalise(roidb: Sequence[Entry], means: Array, stds: Array) -> None:
    """Makes (code - mean) / std of the targets of all entries, in place."""
    for entry in roidb:
        targets = entry["bbox_targets"]
        (objects,) = np.nonzero(targets[:, 0] > 0)
        labels = targets[objects, 0].astype(np.int64)
        targets[objects, 1:] = (targets[objects, 1:] - means[labels]) / stds[labels]


# -- annotated boxes -----------------------------------------------------------------------------------------


class _Cured:
    """Boxes as training needs them, and what had to be done to them."""

    def __init__(self, num_classes: int, difficult: bool):
        self._classes, self._difficult = num_classes, difficult
        self._errors: list[str] = []
        self._notes: dict[str, list[str]] = {}

    def boxes_of(self, picture: Picture) -> tuple[Array, Array]:
        """Boxes (K, 4) and labels (K,)."""
        taken = np.ones(len(picture.boxes), bool)
        if not self._difficult:
            taken = ~(picture.difficult | picture.crowd)
        boxes, labels = picture.boxes[taken].astype(np.float32), picture.labels[taken].astype(np.int64)
        place = picture.source or str(picture.path)
        if not np.isfinite(boxes).all():
            self._errors.append(f"{place}: expected boxes of finite numbers, got {boxes.tolist()}")
            return boxes[:0], labels[:0]
        if ((labels < 1) | (labels >= self._classes)).any():
            self._errors.append(f"{place}: expected labels 1 to {self._classes - 1}, got {labels.tolist()}")
        return self._inside(place, picture, boxes, labels)

    def _inside(self, place: str, picture: Picture, boxes: Array, labels: Array) -> tuple[Array, Array]:
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        empty = (sides == 0).any(axis=1)
        self._note("boxes of no width or height were left out", place, empty)
        boxes, labels = boxes[~empty], labels[~empty]
        ordered = np.concatenate(
            [np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1
        )
        self._note("corners were exchanged, since x1 > x2 or y1 > y2", place, (ordered != boxes).any(axis=1))
        size = np.array([picture.width, picture.height], np.float32)
        seen = ((ordered[:, :2] < size) & (ordered[:, 2:] >= 0)).all(axis=1)
        self._note("boxes outside their picture were left out", place, ~seen)
        cut = clip(ordered, picture.height, picture.width)
        self._note("boxes were cut to their picture", place, seen & (cut != ordered).any(axis=1))
        return cut[seen], labels[seen]

    def _note(self, what: str, place: str, which: Any) -> None:
        if which.any():
            self._notes.setdefault(what, []).append(f"{place} ({int(which.sum())})")

    def tell(self) -> None:
        """Raises DataError with all that cannot be cured; else logs what was."""
        if self._errors:
            raise DataError(_listed(self._errors, "\n"))
        for what, places in self._notes.items():
            _log.warning("%s: %s", what, _listed(places, ", "))


def _listed(texts: Sequence[str], between: str) -> str:
    rest = len(texts) - _SHOWN
    return between.join(texts[:_SHOWN]) + (f"{between}and {rest} more" if rest > 0 else "")


# -- entries -------------------------------------------------------------------------------------------------


def _entry(picture: Picture, boxes: Array, labels: Array, proposed: Array | None) -> Entry:
    regions = np.empty((0, 4), np.float32) if proposed is None else proposed
    return {
        "image": picture.path, "key": picture.key, "source": picture.source, "flipped": False,
        "width": picture.width, "height": picture.height,
        "boxes": np.concatenate([boxes, regions]),
        "gt_classes": np.concatenate([labels, np.zeros(len(regions), np.int64)]),
    }  # fmt: skip


def _mirrored(entry: Entry) -> Entry:
    return entry | {"flipped": True, "boxes": flip(entry["boxes"], entry["width"])}


def _require_proposals(dataset: DetectionSet, proposals: Mapping[str, Any]) -> None:
    missing = [picture.key for picture in dataset.pictures if picture.key not in proposals]
    if missing:
        raise DataError(
            f"expected proposals for all {len(dataset)} pictures of '{dataset.name}', got none for {len(missing)}: "
            f"{_listed(missing, ', ')}\n  Fix: caffelite det propose DATA -split SPLIT -o FILE, with the same data and split"
        )


def _proposed(picture: Picture, proposals: Mapping[str, tuple[Array, Array]] | None) -> Array | None:
    """The proposals of a picture within it; the whole picture if there are none at all."""
    if proposals is None:
        return None
    boxes = np.asarray(proposals[picture.key][0], np.float32).reshape(-1, 4)
    boxes = clip(boxes[np.isfinite(boxes).all(axis=1)], picture.height, picture.width)
    boxes = boxes[(boxes[:, :2] <= boxes[:, 2:]).all(axis=1)]
    whole = np.array([[0, 0, picture.width - 1, picture.height - 1]], np.float32)
    return boxes if len(boxes) else whole


def _add_targets(entry: Entry) -> None:
    boxes, labels = entry["boxes"], entry["gt_classes"]
    (objects,) = np.nonzero(labels)
    if not len(objects):  # with overlaps of 0 no region would be background if BG_THRESH_LO is above
        largest, classes = np.full(len(boxes), cfg.TRAIN.BG_THRESH_LO), np.zeros(len(boxes), np.int64)
        entry.update(max_overlaps=largest, max_classes=classes, bbox_targets=_targets(len(boxes)))
        return
    shares = overlaps(boxes, boxes[objects])
    nearest = objects[shares.argmax(axis=1)]
    largest = shares.max(axis=1)
    classes = np.where(largest > 0, labels[nearest], 0)
    targets = _targets(len(boxes))
    (learned,) = np.nonzero(largest >= cfg.TRAIN.BBOX_THRESH)
    targets[learned, 0] = classes[learned]
    targets[learned, 1:] = encode(boxes[learned], boxes[nearest[learned]])
    entry.update(max_overlaps=largest, max_classes=classes, bbox_targets=targets)


def _targets(count: int) -> Array:
    return np.zeros((count, 5), np.float32)


def pictures_in(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each entry of a batch: its file, and the annotated boxes in it."""
    for entry in entries:
        classes = np.asarray(entry.get("gt_classes", ()))
        boxes = np.asarray(entry["boxes"])[: len(classes)][classes > 0]
        shown = "; ".join(
            f"class {label}: ({', '.join(f'{value:g}' for value in box)})"
            for label, box in zip(classes[classes > 0].tolist(), boxes.tolist(), strict=True)
        )
        mirror = ", mirrored" if entry.get("flipped") else ""
        yield f"{entry['image'] if not isinstance(entry['image'], np.ndarray) else 'array'}{mirror}: {shown or 'no boxes'}"
