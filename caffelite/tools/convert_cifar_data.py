"""Databases of CIFAR-10: Caffe's convert_cifar_data.

Source of the format and the data: Krizhevsky, "Learning multiple layers of features from tiny images" (2009),
"binary version": records of one byte of label and 3 x 32 x 32 bytes of pixels (R, G, B planes).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from caffelite.data.datum import Datum
from caffelite.data.writer import open_writer
from caffelite.errors import DataError
from caffelite.logs.log import get_log
from caffelite.prototxt.binary import read_bytes

StrPath = str | Path

_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_TEST = ("test_batch.bin",)


def convert_cifar_data(source: StrPath, target: StrPath, backend: str) -> tuple[Path, Path]:
    """Writes ``cifar10_train_<backend>`` and ``cifar10_test_<backend>`` into ``target``; gives both.

    Keys are numbers with 5 digits. All files are read before anything is written.

    Raises:
        MissingFileError, DataError: files that are missing or no CIFAR batches; a database exists; no such
            folder.
    """
    parts = {
        name: [read_batch(Path(source) / file) for file in files]
        for name, files in (("train", _TRAIN), ("test", _TEST))
    }
    paths = [Path(target) / f"cifar10_{name}_{backend.lower()}" for name in parts]
    for path in paths:
        if os.path.lexists(path):
            raise DataError(f"'{path}' exists already\n  Fix: remove it, or choose another folder")
    for path, (name, batches), what in zip(paths, parts.items(), ("Training", "Testing"), strict=True):
        _say(f"Writing {what} data", 51)
        _write(path, batches, backend, name)
    return paths[0], paths[1]


def read_batch(path: StrPath) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 (N, 3, 32, 32) and labels (N,) of one file of CIFAR-10's binary version.

    Raises:
        MissingFileError, DataError: no such file, or one of another kind.
    """
    data = read_bytes(path, "CIFAR-10 batch")
    if not data or len(data) % _RECORD:
        raise DataError(
            f"'{path}': expected records of {_RECORD} bytes, got {len(data)} bytes\n"
            "  Fix: unpack cifar-10-binary.tar.gz again; the versions for Python and Matlab are other files"
        )
    rows = np.frombuffer(data, np.uint8).reshape(-1, _RECORD)
    return rows[:, 1:].reshape(-1, *_SHAPE), rows[:, 0]


def _write(path: Path, batches: Sequence[tuple[np.ndarray, np.ndarray]], backend: str, name: str) -> None:
    with open_writer(path, backend) as writer:
        for number, (pixels, labels) in enumerate(batches, 1):
            if name == "train":
                _say(f"Training Batch {number}", 54)
            for image, label in zip(pixels, labels.tolist(), strict=True):
                writer.put(Datum(*_SHAPE, image.tobytes(), label), key=f"{writer.count:05d}")


def _say(text: str, line: int) -> None:
    get_log().emit("message", text, f"convert_cifar_data.cpp:{line}")
