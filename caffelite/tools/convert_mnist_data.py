"""Databases of MNIST's digits: Caffe's convert_mnist_data and convert_mnist_siamese_data."""

from __future__ import annotations

import os

import numpy as np

from caffelite.data.datum import Datum
from caffelite.data.mnist import convert_mnist, read_pair
from caffelite.data.writer import open_writer
from caffelite.logs.log import get_log
from caffelite.random import RandomSource

StrPath = str | os.PathLike[str]


def convert_mnist_data(images: StrPath, labels: StrPath, database: StrPath, backend: str = "LMDB") -> int:
    """Writes the digits of two idx files, packed or not, into a new database; gives their number.

    Raises:
        MissingFileError, DataError: files that are missing, broken or do not fit each other; the database
            exists.
    """
    count = convert_mnist(images, labels, database, backend)
    where = "convert_mnist_data.cpp"
    get_log().emit("message", f"A total of {count} items.", f"{where}:84", count=count)
    get_log().emit("message", f"Processed {count} files.", f"{where}:110", count=count)
    return count


def convert_mnist_siamese_data(
    images: StrPath, labels: StrPath, database: StrPath, backend: str = "LEVELDB", seed: int = -1
) -> int:
    """Writes as many random pairs as there are digits: two channels, label 1 for one class, else 0.

    The pairs are the same for each ``seed`` from 0 up. Gives their number. Raises what
    :func:`convert_mnist_data` does.
    """
    pixels, classes = read_pair(images, labels)
    words = RandomSource(seed).words(0, len(classes), "convert_mnist_siamese_data")
    pairs = (words[:, :2] % max(len(classes), 1)).astype(np.int64)
    _, H, W = pixels.shape
    with open_writer(database, backend) as writer:
        for pair in pairs:
            same = classes[pair[0]] == classes[pair[1]]
            writer.put(Datum(2, H, W, pixels[pair].tobytes(), int(same)))
    get_log().emit(
        "message", f"A total of {len(pairs)} items.", "convert_mnist_siamese_data.cpp:68", count=len(pairs)
    )
    return len(pairs)
