"""The mean image of a database: Caffe's compute_image_mean."""

from __future__ import annotations

import os

import numpy as np

from caffelite.atomic import check_target
from caffelite.data.mean import compute_mean, write_mean
from caffelite.logs.log import get_log, number
from caffelite.tools.progress import Progress

StrPath = str | os.PathLike[str]

_EVERY = 10000
_SOURCE = "compute_image_mean.cpp"


def compute_image_mean(database: StrPath, output: StrPath = "", backend: str = "") -> np.ndarray:
    """The mean image (C, H, W) of a database, logged by channel and written to ``output`` if given.

    The file is a BlobProto with Caffe's older kind of shape: num, channels, height, width. ``backend``:
    ``LMDB``, ``LEVELDB``; empty: whichever the database is.

    Raises:
        MissingFileError, DataError: no such database, a broken record, or images of different sizes.
        SnapshotError: the file cannot be written.
    """
    if output:
        check_target(output)
    progress = Progress(_EVERY, f"{_SOURCE}:85")
    _say("Starting iteration", 70)
    mean = compute_mean(database, backend.upper(), lambda _: progress.step())
    progress.end()
    if output:
        _say(f"Write to {output}", 98)
        write_mean(output, mean)
    _say(f"Number of channels: {len(mean)}", 104)
    for channel, plane in enumerate(mean):
        _say(f"mean_value channel [{channel}]: {number(plane.mean(dtype=np.float64))}", 109)
    return mean


def _say(text: str, line: int) -> None:
    get_log().emit("message", text, f"{_SOURCE}:{line}")
