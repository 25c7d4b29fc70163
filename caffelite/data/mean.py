"""Mean images: a BlobProto file with the average of all images of a database."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing

import numpy as np

from caffelite.atomic import atomic_write
from caffelite.data import opencv
from caffelite.data.database import open_database
from caffelite.data.datum import Datum
from caffelite.data.owner import NOBODY, Owner
from caffelite.errors import DataError, MissingFileError
from caffelite.weights.wire import header, integer

StrPath = str | os.PathLike[str]

_BATCH = 256
_DATA = 5


def read_mean(path: StrPath, owner: Owner = NOBODY) -> np.ndarray:
    """The mean image (C, H, W), float32, of a ``.binaryproto`` file with either kind of shape.

    Raises:
        MissingFileError: there is no such file.
        DataError: it holds something else, or is damaged.
    """
    from caffelite.weights.blob import read_blob_file

    if not os.path.exists(path):
        fix = f"make it with 'caffelite data mean LMDB OUT', or mend the path; it is looked up from '{os.getcwd()}'"
        raise MissingFileError(os.fspath(path), owner.message("mean_file"), fix)
    try:
        mean = read_blob_file(path)
    except DataError as error:
        raise DataError(owner.message(f"mean_file: {error}")) from error
    if mean.ndim not in (3, 4) or mean.ndim == 4 and len(mean) != 1:
        raise owner.error(f"expected one image in mean_file '{path}'", f"shape {mean.shape}")
    return mean.reshape(mean.shape[-3:])


def write_mean(path: StrPath, mean: np.ndarray) -> None:
    """Writes a mean image (C, H, W) as Caffe's compute_image_mean does: num, channels, height, width, data.

    Raises:
        SnapshotError: the file cannot be written.
    """
    data = np.ascontiguousarray(mean, "<f4").tobytes()
    shape = b"".join(integer(number, size) for number, size in enumerate((1, *mean.shape), 1))
    with atomic_write(path) as file:
        file.write(shape + header(_DATA, len(data)) + data)


def compute_mean(
    database: StrPath, backend: str = "", report: Callable[[int], None] | None = None
) -> np.ndarray:
    """The mean image (C, H, W), float32, of a database; summed in float64.

    ``backend``: ``LMDB``, ``LEVELDB`` or whichever it is. ``report`` is called after each item with the number done.

    Raises:
        MissingFileError, DataError: no such database, a broken record, or images of different sizes.
    """
    with closing(open_database(database, backend)) as reader:
        total, count = np.zeros((), np.float64), len(reader)
        for first in range(0, count, _BATCH):
            for number, record in enumerate(reader.read(first, min(_BATCH, count - first)), first):
                try:
                    total = _add(total, record)
                except DataError as error:
                    raise DataError(f"item '{reader.key(number)}' of '{database}': {error}") from error
                if report:
                    report(number + 1)
        return np.asarray(total / count, np.float32)


def _add(total: np.ndarray, record: bytes) -> np.ndarray:
    datum = Datum.decode(record)
    image = opencv.decode(datum.data or b"") if datum.encoded else datum.array()
    if not total.ndim:  # the first image
        return image.astype(np.float64)
    if image.shape != total.shape:
        raise DataError(f"expected an image of shape {total.shape} as before, got {image.shape}")
    total += image
    return total
