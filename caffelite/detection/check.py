"""Looks a data set over: counts, sizes, what is wrong with it, and whether anchors fit it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffelite.detection.coverage import AnchorSettings, Coverage, anchor_coverage
from caffelite.detection.dataset import DetectionSet, Picture
from caffelite.detection.findings import Finding, Findings
from caffelite.detection.formats.classes import folded
from caffelite.detection.formats.detect import Reading, read_set, splits_of
from caffelite.detection.pictures import load_picture
from caffelite.errors import DataError
from caffelite.prototxt.suggest import suggestion

_TRAIN = ("trainval", "train")
SIDES = (8, 16, 32, 64, 128, 256, 512)  # bounds of the histogram of boxes, pixels


@dataclass(frozen=True)
class SplitCounts:
    """What a split holds; objects by class."""

    pictures: int
    empty: int
    objects: dict[str, int]
    difficult: dict[str, int]
    pictures_with: dict[str, int]


@dataclass(frozen=True)
class Check:
    """What was found. ``dataset``: the pictures of all splits, each once; ``sides``: boxes by their side, sqrt(area)."""

    path: str
    format: str
    dataset: DetectionSet
    splits: dict[str, SplitCounts]
    sizes: Counter[tuple[int, int]]
    sides: list[int]
    findings: list[Finding]
    coverage: Coverage
    advice: list[str]

    @property
    def exit_code(self) -> int:
        """0 if nothing is wrong, otherwise 3."""
        return DataError.exit_code if self.findings else 0


def check_set(
    path: str | os.PathLike[str],
    split: str = "",
    classes: Sequence[str] = (),
    anchors: AnchorSettings | None = None,
    decode: bool = True,
) -> Check:
    """Checks a set, or one split of it. ``decode``: also reads each picture whole, to find broken ones.

    Raises:
        MissingFileError, DataError: it cannot be read at all, or there is no such split.
    """
    names = [split] if split else splits_of(path) or [""]
    readings = {name: read_set(path, name, classes) for name in names}
    dataset = _whole(readings)
    findings = Findings([finding for reading in readings.values() for finding in reading.findings])
    _compare_classes(readings, findings)
    if decode:
        _decode(dataset.pictures, findings)
    coverage = anchor_coverage(_train(readings, dataset).pictures, anchors or AnchorSettings())
    return Check(
        os.fspath(path),
        next(iter(readings.values())).format,
        dataset,
        {name: _counts(reading.dataset) for name, reading in readings.items()},
        Counter((picture.width, picture.height) for picture in dataset.pictures),
        _sides(dataset),
        list(dict.fromkeys(findings)),
        coverage,
        [*coverage.lines(), *_lacking(readings)],
    )


def _whole(readings: dict[str, Reading]) -> DetectionSet:
    sets = [reading.dataset for reading in readings.values()]
    pictures = {picture.key: picture for one in reversed(sets) for picture in reversed(one.pictures)}
    return DetectionSet(sets[0].name, sets[0].classes, list(reversed(pictures.values())))


def _train(readings: dict[str, Reading], whole: DetectionSet) -> DetectionSet:
    """The set that is trained on: anchors are to fit that."""
    return next((readings[name].dataset for name in _TRAIN if name in readings), whole)


def _counts(dataset: DetectionSet) -> SplitCounts:
    def count(lists: list[np.ndarray]) -> dict[str, int]:
        labels = np.concatenate([np.zeros(0, np.int64), *lists])
        return {name: int((labels == label).sum()) for label, name in enumerate(dataset.classes, 1)}

    pictures = dataset.pictures
    return SplitCounts(
        len(pictures),
        sum(not len(picture.boxes) for picture in pictures),
        count([picture.labels for picture in pictures]),
        count([picture.labels[picture.difficult] for picture in pictures]),
        count([np.unique(picture.labels) for picture in pictures]),
    )


def _sides(dataset: DetectionSet) -> list[int]:
    boxes = np.concatenate([np.zeros((0, 4)), *(picture.boxes for picture in dataset.pictures)])
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1))
    counts = np.bincount(np.digitize(sides, SIDES), minlength=len(SIDES) + 1)
    return [int(count) for count in counts]


def _decode(pictures: Sequence[Picture], findings: Findings) -> None:
    for picture in pictures:
        try:
            load_picture(picture.path)
        except DataError as error:
            findings.refuse_error("broken picture", error, picture.source)


# -- classes of splits ---------------------------------------------------------------------------------------


def _compare_classes(readings: dict[str, Reading], findings: Findings) -> None:
    """Notes classes whose labels differ between splits, and those that are tested but not learned."""
    base = _trained(readings)
    known = readings[base]
    for name, reading in readings.items():
        if [*map(folded, reading.dataset.classes)] != [*map(folded, known.dataset.classes)]:
            text = f"classes of '{name}' are {_list(reading)}, those of '{base}' are {_list(known)}"
            fix = "give both the same list, or --classes a,b,c"
            findings.refuse("classes of splits", reading.dataset.name, text, fix)
    learned = {folded(name) for name in known.names}
    for name, reading in readings.items():
        for used, count in reading.names.items():
            if folded(used) not in learned:
                near = suggestion(used, list(known.names))
                objects = f"{count} object{'s' * (count != 1)}"
                text = f"class '{used}' has {objects} in '{name}', but none in '{base}'{near}"
                findings.warn(
                    "classes of splits", reading.dataset.name, text, "mend the name, or move pictures"
                )


def _trained(readings: dict[str, Reading]) -> str:
    """The split that is trained on, as far as names tell."""
    return next((name for name in _TRAIN if name in readings), next(iter(readings)))


def _list(reading: Reading) -> str:
    return ", ".join(reading.dataset.classes) or "none"


def _lacking(readings: dict[str, Reading]) -> list[str]:
    """Classes that a split other than the trained one has no objects of, so that it tells nothing of them."""
    base = _trained(readings)
    used = {folded(name) for reading in readings.values() for name in reading.names}
    lines = []
    for name, reading in readings.items():
        there = {folded(one) for one in reading.names}
        missing = [one for one in reading.dataset.classes if folded(one) in used - there]
        if missing and name != base:
            lines.append(f"'{name}' has no objects of {', '.join(missing)}")
    return lines
