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
from caffelite.hdf5_disk import Disk
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
        self._owner, self._path = owner, os.fspath(path)
        try:
            self._disk = Disk(growing)
        except OSError as error:
            fix = "" if target.parent.is_dir() else f"mkdir -p '{target.parent}'"
            raise owner.error(f"cannot write '{path}': {error.strerror}", fix=fix) from error
        self._file = h5py.File(self._disk, "w")
        self._finalizer = weakref.finalize(
            self, _finish, self._file, self._disk, growing, target, os.getpid()
        )

    def append(self, **rows: np.ndarray) -> None:
        """Adds rows (N, *row) to the dataset of each name.

        Raises:
            DataError: rows have another shape than before; the disk is full.
        """
        self._check()
        datasets = {
            name: self._file.get(name) or self._create(name, values.shape[1:])
            for name, values in rows.items()
        }
        for name, values in rows.items():
            row = datasets[name].shape[1:]
            if values.shape[1:] != row:
                expected = f"expected rows of {name} of shape {row} as in earlier passes"
                raise self._owner.error(expected, values.shape[1:])
        for name, values in rows.items():
            size = len(datasets[name])
            datasets[name].resize(size + len(values), axis=0)
            datasets[name][size:] = values
        self._check()

    def _check(self) -> None:
        try:
            self._disk.check()
        except OSError as error:
            raise self._owner.error(f"cannot write '{self._path}': {error.strerror}") from error

    def close(self) -> None:
        """Finishes the file. May be called twice. Raises SnapshotError."""
        self._finalizer()

    def _create(self, name: str, row: Shape) -> Any:
        height = max(1, _CHUNK_BYTES // max(1, 4 * prod(row)))
        chunks = (height, *(max(1, size) for size in row))
        return self._file.create_dataset(name, (0, *row), np.float32, maxshape=(None, *row), chunks=chunks)


def _finish(file: Any, disk: Disk, growing: Path, target: Path, creator: int) -> None:
    if os.getpid() != creator:  # forked: the file is our parent's
        return
    try:
        file.close()
    finally:
        disk.close()
        with atomic_path(target) as temporary:
            os.rename(growing, temporary)
            disk.check()
