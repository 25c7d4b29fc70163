"""Files of detections: read by what they are, written by how their name ends.

| file | what is in it |
|---|---|
| ``.npz`` | ``keys``, ``counts``, ``rows`` (all rows, by ``counts``), ``classes`` |
| ``.csv`` | ``key,class,score,x1,y1,x2,y2`` with a head line; boxes as in memory |
| ``.json`` | COCO results: ``image_id``, ``category_id``, ``bbox`` [x, y, width, height], ``score`` |
| a detector's folder | what ``det test`` left in it: ``eval/detections.npz`` |
| any other folder | PASCAL VOC: ``comp4_det_test_CLASS.txt`` with ``image score x1 y1 x2 y2``, counted from 1, score %.3f, boxes %.1f |
| ``.pkl`` | ``all_boxes[class][picture]`` of Fast and Faster R-CNN, in the order of the set; only read |

Classes go by their names, upper and lower case being the same.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.atomic import atomic_write, make_folder
from caffelite.detection.card import CARD
from caffelite.detection.dataset import DetectionSet
from caffelite.detection.detections import COLUMNS, Detections
from caffelite.detection.formats.text import read_lines, read_text
from caffelite.detection.packed import pack, unpack
from caffelite.detection.safe_pickle import read_pickle
from caffelite.errors import DataError, MissingFileError, UsageError
from caffelite.prototxt.suggest import suggestion

_VOC = re.compile(r"comp\d+(?:_[^_]+)?_det_(?P<split>[^_]+)_(?P<name>.+)\.txt")
_HEAD = ["key", "class", *COLUMNS[1:]]
_ROWS = {"rows": (len(COLUMNS),)}
_FORMATS = ".npz, .json, .csv, or a folder (no ending) for VOC's result files"

Row = tuple[str, str, float, float, float, float, float]  # key, class, score, box


def read(path: str | os.PathLike[str], dataset: DetectionSet) -> Detections:
    """Detections of a set from a file or folder.

    Detections of classes that the set does not have are left out, and noted.

    Raises:
        MissingFileError: there is none.
        DataError: it holds something else; names file and line.
    """
    file = Path(path)
    if not file.exists():
        raise MissingFileError(file, "detections")
    if (file / CARD).exists():
        file = _of_run(file)
    if file.is_dir() or _VOC.fullmatch(file.name):
        return _gather(_voc_rows(file), dataset)
    readers = {".npz": _read_npz, ".csv": _read_csv, ".json": _read_json, ".pkl": _read_all_boxes}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise DataError(
            f"detections '{file}': expected a name that ends in .npz, .csv, .json or .pkl, or a folder of comp4_det_*.txt"
        )
    return reader(file, dataset)


def _of_run(folder: Path) -> Path:
    file = folder / "eval" / "detections.npz"
    if not file.exists():
        fix = f"caffelite det test {folder} --data DATA --split test"
        raise MissingFileError(file, "detections of a detector", fix)
    return file


def write(
    path: str | os.PathLike[str],
    detections: Mapping[str, np.ndarray],
    dataset: DetectionSet,
    split: str = "test",
) -> None:
    """Writes detections; folders are made. ``split`` stands in the names of VOC's files.

    Raises:
        UsageError: no format has this ending.
        SnapshotError: it cannot be written there.
    """
    file = Path(path)
    if file.is_dir() or not file.suffix:
        return _write_voc(make_folder(file), detections, dataset, split)
    writers = {".npz": _npz, ".csv": _csv, ".json": _json}
    if file.suffix.lower() not in writers:
        raise UsageError(f"detections '{file}': expected {_FORMATS}, got '{file.suffix}'")
    make_folder(file.parent)
    data = writers[file.suffix.lower()](detections, dataset)
    with atomic_write(file) as out:
        out.write(data)


def image_ids(dataset: DetectionSet) -> dict[str, int]:
    """COCO's number of each picture: the data's own; else the digits that its name is; else its place, from 1."""
    keys = [picture.key for picture in dataset.pictures]
    if all(picture.image_id >= 0 for picture in dataset.pictures):
        return {picture.key: picture.image_id for picture in dataset.pictures}
    stems = [Path(key).stem for key in keys]
    numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]
    if len(set(numbers)) == len(keys):
        return dict(zip(keys, numbers, strict=True))
    return {key: number for number, key in enumerate(keys, 1)}


def category_ids(dataset: DetectionSet) -> tuple[int, ...]:
    """COCO's number of each class: the data's own, else its label."""
    return dataset.category_ids or tuple(range(1, len(dataset.classes) + 1))


# -- classes -------------------------------------------------------------------------------------------------


def _gather(rows: Iterable[Row], dataset: DetectionSet) -> Detections:
    labels = _Labels(dataset)
    found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for key, name, *numbers in rows:
        label = labels.of(name)
        if label:
            found[key].append((label, *numbers))
    arrays = {key: np.array(value, np.float32) for key, value in found.items()}
    return Detections(arrays, labels.notes())


class _Labels:
    """Labels of names; counts the names that the set does not have."""

    def __init__(self, dataset: DetectionSet):
        self._dataset = dataset
        self._labels = {name.casefold().strip(): label for label, name in enumerate(dataset.classes, 1)}
        self._unknown: Counter[str] = Counter()

    def of(self, name: str, count: int = 1) -> int:
        """0 for a name of nothing."""
        label = self._labels.get(name.casefold().strip(), 0)
        if not label:
            self._unknown[name] += count
        return label

    def notes(self) -> list[str]:
        return [
            f"{count} detections of class '{name}' are left out: the data has no such class"
            f"{suggestion(name, self._dataset.classes)}"
            for name, count in self._unknown.items()
        ]


# -- npz -----------------------------------------------------------------------------------------------------


def _npz(detections: Mapping[str, np.ndarray], dataset: DetectionSet) -> bytes:
    parts = {key: (rows,) for key, rows in detections.items()}
    return pack(parts, _ROWS, classes=np.array(dataset.classes, np.str_))


def _read_npz(file: Path, dataset: DetectionSet) -> Detections:
    places, found = unpack(file, "detections", _ROWS, ["classes"])
    rows, classes = found["rows"], found["classes"].reshape(-1)
    labels, amounts = _Labels(dataset), Counter(rows[:, 0].tolist())
    if not np.isin(rows[:, 0], np.arange(1, len(classes) + 1)).all():
        raise DataError(f"detections '{file}': expected labels from 1 to {len(classes)}")
    names = [(str(name), amounts[label]) for label, name in enumerate(classes, 1)]
    table = np.array([0, *(labels.of(name, count) if count else 0 for name, count in names)])
    rows[:, 0] = table[rows[:, 0].astype(int)]
    parts = {key: rows[place] for key, place in places.items()}
    return Detections({key: part[part[:, 0] > 0] for key, part in parts.items()}, labels.notes())


# -- csv -----------------------------------------------------------------------------------------------------


def _csv(detections: Mapping[str, np.ndarray], dataset: DetectionSet) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_HEAD)
    for key, rows in detections.items():
        for label, score, *box in rows.tolist():
            writer.writerow(
                [key, dataset.classes[int(label) - 1], f"{score:.6g}", *(f"{x:.6g}" for x in box)]
            )
    return file.getvalue().encode()


def _read_csv(file: Path, dataset: DetectionSet) -> Detections:
    table = csv.reader(io.StringIO(read_text(file), newline=""))
    try:
        head = [name.strip().lower() for name in next(table, [])]
        if head != _HEAD:
            raise DataError(f"{file}:1: expected the head line {','.join(_HEAD)}, got {','.join(head)}")
        rows = (_row(file, table.line_num, row[:2], row[2:]) for row in table if row)
        return _gather(rows, dataset)
    except csv.Error as error:
        raise DataError(f"{file}:{table.line_num}: {error}") from error


def _row(file: Path, line: int, names: list[str], numbers: list[str], shift: float = 0) -> Row:
    try:
        score, x1, y1, x2, y2 = map(float, numbers)
    except ValueError as error:
        raise DataError(f"{file}:{line}: expected score x1 y1 x2 y2, got {' '.join(numbers)}") from error
    return names[0], names[1], score, x1 - shift, y1 - shift, x2 - shift, y2 - shift


# -- PASCAL VOC ----------------------------------------------------------------------------------------------


def _write_voc(folder: Path, detections: Mapping[str, np.ndarray], dataset: DetectionSet, split: str) -> None:
    keys = [picture.key for picture in dataset.pictures if picture.key in detections]
    for label, name in enumerate(dataset.classes, 1):
        lines = []
        for key in keys:
            rows = detections[key]
            for _, score, *box in rows[rows[:, 0] == label].tolist():
                lines.append(f"{key} {score:.3f} " + " ".join(f"{x + 1:.1f}" for x in box) + "\n")
        with atomic_write(folder / f"comp4_det_{split}_{name}.txt") as file:
            file.write("".join(lines).encode())


def _voc_rows(path: Path) -> Iterator[Row]:
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    matches = [(file, match) for file in files if (match := _VOC.fullmatch(file.name))]
    if not matches:
        raise DataError(f"detections '{path}': expected files comp4_det_SPLIT_CLASS.txt, found none")
    for file, match in matches:
        for number, line in read_lines(file):
            words = line.split()
            if len(words) < 6:
                raise DataError(f"{file}:{number}: expected image score x1 y1 x2 y2, got {line}")
            key = " ".join(words[:-5])  # names of pictures may have spaces
            yield _row(file, number, [key, match["name"]], words[-5:], shift=1)


# -- COCO ----------------------------------------------------------------------------------------------------


def _json(detections: Mapping[str, np.ndarray], dataset: DetectionSet) -> bytes:
    ids = image_ids(dataset)
    categories = category_ids(dataset)
    results = [
        {
            "image_id": ids[key],
            "category_id": categories[int(label) - 1],
            "bbox": [round(x, 4) for x in (x1, y1, x2 - x1 + 1, y2 - y1 + 1)],
            "score": round(score, 6),
        }
        for key, rows in detections.items()
        for label, score, x1, y1, x2, y2 in rows.tolist()
    ]
    return json.dumps(results).encode()


def _read_json(file: Path, dataset: DetectionSet) -> Detections:
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise DataError(f"detections '{file}': {error}") from error
    if not isinstance(content, list):
        raise DataError(
            f"detections '{file}': expected a list of COCO results, got a {type(content).__name__}"
        )
    keys: dict[Any, str] = {number: key for key, number in image_ids(dataset).items()}
    keys |= {picture.key: picture.key for picture in dataset.pictures}
    categories = category_ids(dataset)
    names = dict(zip(categories, dataset.classes, strict=True))
    rows = (_coco_row(file, n, result, keys, names) for n, result in enumerate(content))
    return _gather(rows, dataset)


def _coco_row(file: Path, number: int, result: Any, keys: Mapping[Any, str], names: Mapping[int, str]) -> Row:
    try:
        x, y, width, height = map(float, result["bbox"])
        image, category, score = result["image_id"], result["category_id"], float(result["score"])
        key, name = keys.get(image, str(image)), names.get(category, str(category))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"detections '{file}': result {number}: expected image_id, category_id, bbox of 4 numbers and score, got {result}"
        ) from error
    return key, name, score, x, y, x + width - 1, y + height - 1


# -- pickles of Fast and Faster R-CNN -------------------------------------------------------------------------


def _read_all_boxes(file: Path, dataset: DetectionSet) -> Detections:
    boxes = read_pickle(file)
    classes, pictures = len(dataset.classes) + 1, len(dataset.pictures)
    if not isinstance(boxes, list) or any(
        not isinstance(one, list) or len(one) != pictures for one in boxes[1:]
    ):
        raise DataError(
            f"detections '{file}': expected all_boxes[class][picture] of the {pictures} pictures of '{dataset.name}'"
        )
    if len(boxes) != classes:
        raise DataError(f"detections '{file}': expected {classes} classes with background, got {len(boxes)}")
    parts: dict[str, list[np.ndarray]] = defaultdict(list)
    for label, of_class in enumerate(boxes[1:], 1):
        for picture, found in zip(dataset.pictures, of_class, strict=True):
            rows = _five_columns(file, found, label, picture.key)
            ahead = np.full((len(rows), 1), label, np.float32)
            parts[picture.key].append(np.concatenate([ahead, rows[:, 4:], rows[:, :4]], axis=1))
    return Detections({key: np.concatenate(rows) for key, rows in parts.items()})


def _five_columns(file: Path, found: Any, label: int, key: str) -> np.ndarray:
    """Rows x1, y1, x2, y2, score (K, 5)."""
    try:
        rows = np.asarray(found, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"detections '{file}': class {label}, picture '{key}': {error}") from error
    if rows.size and (rows.ndim != 2 or rows.shape[1] != 5):
        raise DataError(
            f"detections '{file}': class {label}, picture '{key}': expected rows x1, y1, x2, y2, score (K, 5), "
            f"got shape {rows.shape}"
        )
    return rows.reshape(-1, 5)
