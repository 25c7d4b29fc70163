"""HDF5 files whose datasets have one row for each item: the list of them, and what is in each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

from caffelite.data.lists import open_list
from caffelite.data.owner import NOBODY, Owner
from caffelite.errors import CaffeliteError, MissingFileError
from caffelite.types import Shape

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Table:
    """One file: rows of its datasets.

    ``block``: rows that are read together, the height of the chunks; 1 for contiguous data. ``row_bytes``: a row's size
    in the file's types, over all datasets.
    """

    path: str
    rows: int
    shapes: Mapping[str, Shape]
    block: int
    row_bytes: int


def read_hdf5_list(path: str, owner: Owner = NOBODY) -> list[str]:
    """The files that a text file names, separated by blanks or line ends.

    Raises:
        MissingFileError: there is no such list.
        DataError: it names nothing, or is an HDF5 file itself.
    """
    with open_list(path, "list of HDF5 files", owner) as file:
        text = b"" if (start := file.read(len(_SIGNATURE))) == _SIGNATURE else start + file.read()
    if start == _SIGNATURE:
        fix = f"echo {path} > list.txt, and give that"
        raise owner.error(f"expected a text file that lists HDF5 files at '{path}'", "an HDF5 file", fix)
    names = os.fsdecode(text).split()
    if not names:
        raise owner.error(f"expected names of HDF5 files in '{path}'", "none")
    return names


def open_table(path: str, names: Sequence[str], owner: Owner = NOBODY) -> Table:
    """Looks into a file for the datasets ``names``.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no HDF5 file, lacks a dataset, or one has no rows, no numbers, or not the first one's length.
    """
    with open_hdf5(path, owner) as file, damage(path, owner):
        datasets = [_dataset(file, path, name, owner) for name in names]
        rows = len(datasets[0])
        for name, dataset in zip(names, datasets, strict=True):
            if len(dataset) != rows:
                expected = f"expected {rows} rows of '{name}' in '{path}', as of '{names[0]}'"
                raise owner.error(expected, len(dataset))
        block = max(dataset.chunks[0] if dataset.chunks else 1 for dataset in datasets)
        row_bytes = sum(prod(dataset.shape[1:]) * dataset.dtype.itemsize for dataset in datasets)
        shapes = {name: dataset.shape[1:] for name, dataset in zip(names, datasets, strict=True)}
        return Table(path, rows, shapes, max(1, min(block, rows)), row_bytes)


@contextmanager
def damage(path: str, owner: Owner = NOBODY) -> Iterator[None]:
    """Whatever the HDF5 library finds wrong in a file becomes a DataError."""
    try:
        yield
    except CaffeliteError:
        raise
    except (OSError, RuntimeError, KeyError) as error:
        text = f"cannot read the HDF5 file '{path}': {error}"
        raise owner.error(text, fix="copy or write it again") from error


def open_hdf5(path: str, owner: Owner = NOBODY) -> Any:
    """The h5py file at ``path``, for reading.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no HDF5 file, or cut short.
    """
    import h5py

    if not os.path.exists(path):
        fix = f"make the file, or mend the list; it is looked up from '{os.getcwd()}'"
        raise MissingFileError(path, owner.message("HDF5 file"), fix)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise owner.error(
            f"cannot open the HDF5 file '{path}': {error}", fix="copy or write it again"
        ) from error


def _dataset(file: Any, path: str, name: str, owner: Owner) -> Any:
    import h5py

    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        known = ", ".join(f"'{key}'" for key in file) or "nothing"
        if file.get(name, getlink=True) is not None:
            known = (
                "a group of this name" if dataset is not None else "a link of this name that leads nowhere"
            )
        fix = "name the tops as the datasets"
        raise owner.error(f"expected a dataset '{name}', as the top is called, in '{path}'", known, fix)
    if dataset.dtype.kind not in "fiub":
        raise owner.error(f"expected numbers in dataset '{name}' of '{path}'", dataset.dtype)
    if not dataset.shape:
        raise owner.error(f"expected rows in dataset '{name}' of '{path}'", "a scalar")
    return dataset
