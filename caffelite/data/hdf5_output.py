"""An HDF5 file that grows pass by pass: the HDF5Output layer's."""

from __future__ import annotations

import os
import secrets
import weakref
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.atomic import atomic_path
from caffelite.data.owner import NOBODY, Owner
from caffelite.types import Shape

_CHUNK_BYTES = 1 << 18


class Hdf5Output:
    """Appends rows to float32 datasets. The file appears at ``path``, whole, when the writer is closed or collected.

    Until then it grows beside it; a process that is killed leaves what was at ``path`` before.

    Raises:
        DataError: the file cannot be written there.
    """

    def __init__(self, path: str | os.PathLike[str], owner: Owner = NOBODY):
        import h5py

        target = Path(os.path.realpath(path))
        growing = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        self._owner = owner
        try:
            self._file = h5py.File(growing, "w")
        except OSError as error:
            fix = "" if target.parent.is_dir() else f"mkdir -p '{target.parent}'"
            raise owner.error(f"cannot write '{path}': {error}", fix=fix) from error
        self._finalizer = weakref.finalize(self, _finish, self._file, growing, target, os.getpid())

    def append(self, **rows: np.ndarray) -> None:
        """Adds rows (N, *row) to the dataset of each name.

        Raises:
            DataError: rows have another shape than before.
        """
        for name, values in rows.items():
            dataset = self._file.get(name) or self._create(name, values.shape[1:])
            if values.shape[1:] != dataset.shape[1:]:
                expected = f"expected rows of {name} of shape {dataset.shape[1:]} as in earlier passes"
                raise self._owner.error(expected, values.shape[1:])
            size = len(dataset)
            dataset.resize(size + len(values), axis=0)
            dataset[size:] = values

    def close(self) -> None:
        """Finishes the file. May be called twice. Raises SnapshotError."""
        self._finalizer()

    def _create(self, name: str, row: Shape) -> Any:
        height = max(1, _CHUNK_BYTES // max(1, 4 * prod(row)))
        chunks = (height, *(max(1, size) for size in row))
        return self._file.create_dataset(name, (0, *row), np.float32, maxshape=(None, *row), chunks=chunks)


def _finish(file: Any, growing: Path, target: Path, creator: int) -> None:
    if os.getpid() != creator:  # forked: the file is our parent's
        return
    file.close()
    with atomic_path(target) as temporary:
        os.rename(growing, temporary)
