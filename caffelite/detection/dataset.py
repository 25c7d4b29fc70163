"""Pictures with boxes: what every part of detection reads, whatever format the files have.

In memory boxes are x1, y1, x2, y2 in pixels counted from 0, both corners inside, so the width is x2 - x1 + 1. Files are
converted where they are read and written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from caffelite.detection.findings import Finding
from caffelite.detection.pictures import load_picture
from caffelite.errors import UsageError
from caffelite.random import RandomSource

__all__ = ["DetectionSet", "Picture", "divide", "load_picture", "load_set"]


def _no_flags() -> np.ndarray:
    return np.zeros(0, bool)


def _no_areas() -> np.ndarray:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False)
class Picture:
    """One image and what is in it.

    ``crowd`` and ``areas`` come from COCO files, where a box may stand for a crowd and the area is the object's, not
    the box's; elsewhere nothing is a crowd and areas are the boxes'. A crowd is difficult, too.
    """

    key: str  # its id: stem or relative path, unique in the set
    path: Path
    width: int  # pixels, as load_picture gives them
    height: int
    boxes: np.ndarray  # (K, 4) float32, 0-based inclusive
    labels: np.ndarray  # (K,) int64, 1..C; 0 is background and never stands here
    difficult: np.ndarray  # (K,) bool
    source: str = ""  # annotation file (file:line for single-file formats)
    crowd: np.ndarray = field(default_factory=_no_flags)  # (K,) bool
    areas: np.ndarray = field(default_factory=_no_areas)  # (K,) float32, pixels
    image_id: int = -1  # COCO's

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if len(self.crowd) != count:
            object.__setattr__(self, "crowd", np.zeros(count, bool))
        if len(self.areas) != count:
            x1, y1, x2, y2 = self.boxes.T
            object.__setattr__(self, "areas", (x2 - x1 + 1) * (y2 - y1 + 1))


@dataclass(frozen=True, eq=False)
class DetectionSet:
    """Pictures and the classes of what is in them. ``findings``: what was wrong with the files."""

    name: str
    classes: tuple[str, ...]  # without background; label 1 is the first
    pictures: list[Picture]
    findings: tuple[Finding, ...] = ()
    category_ids: tuple[int, ...] = ()  # COCO's ids of the classes

    def __len__(self) -> int:
        return len(self.pictures)


def load_set(path: str | os.PathLike[str], split: str = "", *, classes: Sequence[str] = ()) -> DetectionSet:
    """The pictures of a data set, with their boxes, in whatever format it is.

    ``path``: a VOC directory (loose layouts too), a COCO JSON file, a directory of YOLO text files or their data.yaml, a
    CSV or an R-CNN window file, or a directory of any of these; told apart by what is in them.
    ``split``: "train", "test" ... as the files name them; "train+val" for several; empty for all pictures.
    ``classes``: their names in the order of the labels, upper and lower case being the same; objects of other
    classes are left out. Empty: those that the files name, of all splits, so that splits agree.

    What is wrong with the files but can be read sensibly is logged, a warning of each kind, and kept in ``findings``.

    Raises:
        MissingFileError: there is no such path, or none of the pictures.
        DataError: no known format; no such split; annotations that cannot be read, all of them with file, line and cure.
    """
    from caffelite.detection.formats.detect import read_set

    found = read_set(path, split, classes)
    found.findings.tell(os.fspath(path))
    return found.dataset


def divide(dataset: DetectionSet, share: float = 0.2, seed: int = 0) -> tuple[DetectionSet, DetectionSet]:
    """A set that has no splits in two: what remains, and a random ``share`` of the pictures, both in their old order.

    The same for as many pictures and the same seed. Raises UsageError for a share that is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise UsageError(f"divide: expected a share between 0 and 1, got {share:g}")
    order = RandomSource(seed).permutation(len(dataset), "divide")
    taken = set(order[: round(share * len(dataset))].tolist())
    parts: tuple[list[Picture], list[Picture]] = ([], [])
    for number, picture in enumerate(dataset.pictures):
        parts[number in taken].append(picture)
    return replace(dataset, pictures=parts[0]), replace(dataset, pictures=parts[1])
