"""R-CNN's window files: images with windows, each with a class and its overlap with an object.

Windows that overlap with an object entirely are the objects; coordinates count from 0. Classes are numbers from 1.
Source: Girshick et al. 2014, the format that BVLC Caffe's WindowData layer reads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from caffelite.atomic import atomic_write
from caffelite.boxes.boxes import overlaps
from caffelite.data.window_file import Windows, read_images
from caffelite.detection.dataset import Picture
from caffelite.detection.findings import Findings
from caffelite.detection.formats.layout import Images, no_such_split, same_split, standard_splits
from caffelite.detection.formats.records import Format, Record, Records, Thing
from caffelite.errors import DataError

_OBJECT = 1.0  # the overlap of an object with itself
_LEAST = 1e-5  # windows that overlap less have class 0
_CHANNELS = 3


def fits(path: Path) -> bool:
    """Whether a path is a window file, or a folder with some."""
    return bool(_files(path))


def splits(path: Path) -> list[str]:
    """The splits that files in a folder are called by."""
    return standard_splits(file.stem for file in _files(path)) if path.is_dir() else []


def read(path: Path, split: str, findings: Findings) -> Records:
    """The images of a file, or of the files of a split in a folder. Raises DataError for an unknown split."""
    files = _files(path)
    chosen = [file for file in files if not split or same_split(file.stem, split)]
    if not chosen:
        raise no_such_split(path, split, splits(path))
    found = {file: read_images(str(file)) for file in files}
    records = [_record(file, image, findings) for file in chosen for image in found[file]]
    numbers = {str(int(row[0])) for images in found.values() for image in images for row in _objects(image)}
    return Records(FORMAT.name, records, names=sorted(numbers), numbered=True)


FORMAT = Format("window file", fits, splits, read)


def write_windows(
    path: str | os.PathLike[str], pictures: Iterable[Picture], proposals: Mapping[str, np.ndarray]
) -> None:
    """Writes the window file that the WindowData layer trains on, whole or not at all.

    Each picture's objects come first, with overlap 1, then its proposals: float (K, 4) x1 y1 x2 y2 by key, with
    the class of the object that each overlaps most, or 0. Difficult objects are left out. Coordinates are rounded.

    Raises:
        DataError: a picture without proposals, not even none.
        SnapshotError: the file cannot be written.
    """
    with atomic_write(path) as file:
        for index, picture in enumerate(pictures):
            if picture.key not in proposals:
                raise DataError(
                    f"there are no proposals for picture '{picture.key}'\n  Fix: make proposals for all"
                )
            file.write(
                "\n".join(_lines(index, picture, proposals[picture.key])).encode("utf-8", "surrogateescape")
            )
            file.write(b"\n")


def windows_of(picture: Picture, proposals: np.ndarray) -> np.ndarray:
    """Rows class overlap x1 y1 x2 y2, float64, of a picture's objects and of its proposals (K, 4)."""
    kept = ~picture.difficult
    objects, labels = picture.boxes[kept].astype(np.float64), picture.labels[kept]
    boxes = np.concatenate([objects, np.asarray(proposals, np.float64).reshape(-1, 4)])
    overlap = np.zeros((len(boxes), 1)) if not len(objects) else overlaps(boxes, objects)
    most = overlap.max(axis=1)
    most[: len(objects)] = _OBJECT
    classes = np.where(most < _LEAST, 0, labels[overlap.argmax(axis=1)] if len(objects) else 0)
    classes[: len(objects)] = labels
    return np.column_stack([classes, most, boxes])


def _lines(index: int, picture: Picture, proposals: np.ndarray) -> Iterator[str]:
    rows = windows_of(picture, proposals)
    yield from (f"# {index}", str(picture.path), str(_CHANNELS), str(picture.height), str(picture.width))
    yield str(len(rows))
    for label, overlap, *box in rows:
        yield f"{label:.0f} {overlap:.6g} {' '.join(f'{value:.0f}' for value in box)}"


def _files(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.glob("*.txt"))
    return [file for file in files if _is_window_file(file)]


def _is_window_file(path: Path) -> bool:
    with open(path, "rb") as file:
        words = file.readline(100).split()
    return len(words) == 2 and words[0] == b"#" and words[1].isdigit()


def _objects(image: Windows) -> np.ndarray:
    return image.windows[image.windows[:, 1] >= _OBJECT]


def _record(file: Path, image: Windows, findings: Findings) -> Record:
    name = os.fsdecode(image.path)
    found = Images(file.parent).find(name, file) if not os.path.exists(name) else Path(name)
    record = Record(
        os.path.splitext(name)[0], found, f"{file}:{image.line - 5}", image=name, size=image.size[::-1]
    )
    for number, (label, overlap, *box) in enumerate(image.windows, image.line):
        if overlap < _OBJECT:
            continue
        place = f"{file}:{number}"
        if label < 1 or label % 1:
            text = f"expected a class from 1 for a window with overlap 1, got {label:g}"
            findings.refuse("number", place, text, "class 0 is the background; count classes from 1")
            continue
        x1, y1, x2, y2 = box
        record.things.append(Thing(str(int(label)), (x1, y1, x2, y2), place))
    return record
