"""``.npz``: NumPy's archive of arrays, for scripts that know nothing of Caffe.

Blob ``i`` of layer ``conv1`` is the array ``conv1.i``: ``numpy.load("lenet.npz")["conv1.0"]``. Layers come in the
order of their first array; the format keeps no types.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from zlib import error as ZlibError

import numpy as np

from caffelite.atomic import atomic_write
from caffelite.errors import WeightsError
from caffelite.weights import kinds
from caffelite.weights.blob import Blob
from caffelite.weights.caffemodel import LayerWeights
from caffelite.weights.kinds import StrPath
from caffelite.weights.named import finish, named_arrays, place

_DAMAGE = (ValueError, EOFError, zipfile.BadZipFile, ZlibError, KeyError, NotImplementedError)


def read_npz(path: StrPath) -> list[LayerWeights]:
    """All layers of the archive; every number type is converted to float32. Nothing in it is executed.

    Raises:
        MissingFileError: there is no such file.
        WeightsError: the file is of another kind, damaged, cut short, or names its arrays otherwise.
    """
    layers: dict[str, LayerWeights] = {}
    for name, array in read_arrays(path, "weights file"):
        place(path, layers, name, array)
    return finish(layers.values())


def read_arrays(path: StrPath, what: str) -> Iterator[tuple[str, Blob]]:
    """The names and arrays of an archive as ``read_npz`` reads them, and raising what it does. ``what`` is for messages."""
    kinds.require(path, kinds.NPZ)
    try:
        with (
            kinds.open_for_reading(path, what) as file,
            np.load(file, allow_pickle=False) as archive,
        ):
            for name in archive.files:
                yield name, _array(path, name, archive[name])
    except WeightsError:  # which is a ValueError, too
        raise
    except _DAMAGE as error:
        raise WeightsError(f"'{path}': damaged, or no archive of arrays: {error}") from error


def write_npz(path: StrPath, layers: Sequence[LayerWeights]) -> None:
    """Writes layers as float32, uncompressed. The file appears whole or not at all.

    Raises:
        SnapshotError: it cannot be written.
    """
    arrays = {name: np.asarray(blob, np.float32) for name, blob in named_arrays(layers)}
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def _array(path: StrPath, name: str, array: np.ndarray) -> Blob:
    if array.dtype.kind not in "fiub":
        raise WeightsError(f"'{path}': expected '{name}' to hold real numbers, got {array.dtype}")
    return np.asarray(array, np.float32, order="C")
