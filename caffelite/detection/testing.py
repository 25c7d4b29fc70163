"""A detector over a data set: what it finds, how long that takes, and how good it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from caffelite.atomic import check_target, make_folder
from caffelite.boxes.boxes import Array
from caffelite.detection.card import Card
from caffelite.detection.dataset import DetectionSet, Picture, load_set
from caffelite.detection.detections import Detections, write_detections
from caffelite.detection.evaluation import Report, evaluate
from caffelite.detection.pictures import load_picture
from caffelite.errors import DataError

if TYPE_CHECKING:
    from caffelite.detection.detector import AnyDetector

FILE = "detections.npz"
_EVERY = 100  # pictures between lines of progress
_SHOWN = 10  # classes in a message

Boxes = tuple[Array, Array]


@dataclass
class Times:
    """Seconds spent on pictures; reading their files is left out."""

    pictures: int = 0
    proposals: float = 0
    detection: float = 0

    def text(self) -> str:
        """Milliseconds of a picture, in words."""
        each = 1000 / max(self.pictures, 1)
        proposals = f"proposals {each * self.proposals:.1f} ms, " if self.proposals else ""
        return f"{self.pictures} pictures: {proposals}detection {each * self.detection:.1f} ms each"


def load_for(card: Card, path: str | os.PathLike[str], split: str = "") -> DetectionSet:
    """A data set with the labels of a detector's classes; upper and lower case are the same.

    Raises DataError if the set has boxes but none of these classes, and what ``load_set`` does.
    """
    dataset = load_set(path, split, classes=card.classes)
    if any(len(picture.boxes) for picture in dataset.pictures):
        return dataset
    there = load_set(path, split)
    if any(len(picture.boxes) for picture in there.pictures):
        raise DataError(
            f"none of the detector's classes is in '{os.fspath(path)}': expected {_some(card.classes)}; the data has "
            f"{_some(there.classes)}\n  Fix: name the classes in the data as the detector does, or train for these"
        )
    return dataset


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def detect_set(
    detector: AnyDetector,
    dataset: DetectionSet,
    proposals: Mapping[str, Boxes] | None = None,
    *,
    tell: Callable[[str], None] | None = None,
    times: Times | None = None,
) -> Detections:
    """What a detector finds in all pictures of a set: key -> rows label, score, x1, y1, x2, y2 (K, 6).

    ``proposals``: key -> boxes and their scores, for detectors that are shown regions; those that are not given are
    looked for. ``tell`` gets a line of progress now and then; ``times`` is added to.

    Raises DataError for a picture that has no proposals or cannot be read, and what the detector's ``detect`` does.
    """
    times = Times() if times is None else times
    found = Detections()
    for picture in dataset.pictures:
        image = load_picture(picture.path)
        began = perf_counter()
        boxes = _regions(detector, picture, image, proposals)
        ready = perf_counter()
        found[picture.key] = detector.detect(image, boxes)
        times.pictures += 1
        times.detection += perf_counter() - ready
        times.proposals += ready - began if boxes is not None and proposals is None else 0
        if tell and times.pictures % _EVERY == 0:
            tell(f"{len(found)} of {len(dataset)} pictures; {times.text()}")
    return found


def _regions(
    detector: AnyDetector, picture: Picture, image: Array, proposals: Mapping[str, Boxes] | None
) -> Array | None:
    """The regions that the detector is to be shown; None if it finds them itself."""
    if detector.card.has_rpn:
        return None
    if proposals is None:
        return proposed(detector.card, image)
    if picture.key not in proposals:
        raise DataError(
            f"picture '{picture.key}' has no proposals\n  Fix: caffelite det propose, with the same data and split"
        )
    return proposals[picture.key][0]


def proposed(card: Card, image: Array) -> Array:
    """Boxes (R, 4) that a card's method of proposals finds in an image (H, W, 3)."""
    from caffelite.detection.proposals import propose

    return propose(image, card.proposals or "ss")[0]


def assess(
    detector: AnyDetector,
    dataset: DetectionSet,
    output: str | os.PathLike[str],
    proposals: Mapping[str, Boxes] | None = None,
    *,
    tell: Callable[[str], None] | None = None,
    times: Times | None = None,
    worst: int = 12,
) -> Report:
    """Detects in a set, writes ``detections.npz`` and a report with charts to a folder, which is made before.

    ``worst``: pictures with most mistakes to draw. The rest is as in :func:`detect_set`.

    Raises:
        SnapshotError: the folder cannot be written to; said before anything is detected.
        and what :func:`detect_set` and ``evaluate`` do.
    """
    folder = make_folder(output)
    check_target(folder / FILE)
    found = detect_set(detector, dataset, proposals, tell=tell, times=times)
    write_detections(folder / FILE, found, dataset)
    report = evaluate(dataset, found)
    report.write(Path(folder), worst)
    return report
