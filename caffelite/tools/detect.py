"""Predictions of a Detector for windows of images: Caffe's python/detect.py."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.atomic import atomic_write, check_target
from caffelite.errors import DataError, UsageError
from caffelite.hdf5_disk import write_hdf5
from caffelite.prototxt.binary import read_bytes
from caffelite.tools.lists import read_lines

COORDINATES = ("ymin", "xmin", "ymax", "xmax")

_FAR = 2**31  # no image has so many pixels a side

Windows = dict[str, list[tuple[int, ...]]]


def read_windows(path: str | Path) -> Windows:
    """The windows (ymin, xmin, ymax, xmax) of each image, from a CSV with these columns and ``filename``.

    Raises:
        MissingFileError, DataError: no such file, another form, or no windows.
    """
    text = read_bytes(path, "list of windows").decode("utf-8-sig", "surrogateescape")
    rows = csv.DictReader(io.StringIO(text))
    if missing := [name for name in ("filename", *COORDINATES) if name not in (rows.fieldnames or ())]:
        raise DataError(
            f"{path}:1: expected columns filename, {', '.join(COORDINATES)}; {', '.join(missing)} missing"
        )
    windows: Windows = {}
    for row in rows:
        try:
            window = tuple(_coordinate(row[name]) for name in COORDINATES)
        except (TypeError, ValueError):
            numbers = ", ".join(str(row[name] or "nothing") for name in COORDINATES)
            raise DataError(
                f"{path}:{rows.line_num}: expected four numbers of pixels, got {numbers}"
            ) from None
        windows.setdefault(row["filename"], []).append(window)
    if not windows:
        raise DataError(f"'{path}' holds no windows")
    return windows


def _coordinate(text: str) -> int:
    """A number without its fraction, which says nothing of pixels. Raises ValueError."""
    value = float(text)
    if abs(value) < _FAR:
        return int(value)
    raise ValueError(value)


def read_names(path: str | Path) -> list[str]:
    """The lines of a list of images. Raises MissingFileError, and DataError for an empty list."""
    return [line for _, line in read_lines(path)]


def check_output(path: str | Path) -> None:
    """Raises UsageError unless the name of an output file ends in ``.csv`` or ``.h5``, SnapshotError if none can be there."""
    if Path(path).suffix.lower() not in _WRITERS:
        raise UsageError(f"'{path}': expected a name that ends in {' or '.join(_WRITERS)}")
    check_target(path)


def write_detections(path: str | Path, detections: Sequence[dict[str, Any]]) -> None:
    """Writes what ``Detector.detect_windows`` gives, a row a window.

    ``.csv``: filename, ymin, xmin, ymax, xmax, class0, class1, ... ``.h5``: a dataset for each of the first
    five, and ``prediction`` (windows, classes).

    Raises:
        UsageError: another ending.
        DataError: no detections.
        SnapshotError: the file cannot be written.
    """
    check_output(path)
    if not detections:
        raise DataError("no windows were proposed, so there is nothing to write")
    names = [str(detection["filename"]) for detection in detections]
    windows = np.array([detection["window"] for detection in detections], np.int64)
    scores = np.array([np.ravel(detection["prediction"]) for detection in detections], np.float32)
    _WRITERS[Path(path).suffix.lower()](path, names, windows, scores)


def _write_csv(path: str | Path, names: Sequence[str], windows: np.ndarray, scores: np.ndarray) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["filename", *COORDINATES, *(f"class{number}" for number in range(scores.shape[1]))])
    for name, window, row in zip(names, windows.tolist(), scores, strict=True):
        writer.writerow([name, *window, *map(str, row)])
    with atomic_write(path) as file:
        file.write(text.getvalue().encode("utf-8", "surrogateescape"))


def _write_hdf5(path: str | Path, names: Sequence[str], windows: np.ndarray, scores: np.ndarray) -> None:
    import h5py

    with write_hdf5(path) as file:
        written = [name.encode("utf-8", "surrogateescape") for name in names]
        file["filename"] = np.array(written, h5py.string_dtype())
        for name, column in zip(COORDINATES, windows.T, strict=True):
            file[name] = column
        file["prediction"] = scores


_WRITERS = {".csv": _write_csv, ".h5": _write_hdf5}
