"""Rows of many pictures in one .npz: ``keys`` (P,), ``counts`` (P,), and arrays in which all rows stand one after another.

Files of proposals and of detections have this form.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from caffelite.boxes.boxes import Array
from caffelite.errors import DataError

_BROKEN = (
    KeyError, ValueError, OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error
)  # fmt: skip


def pack(
    parts: Mapping[str, Sequence[Array]], shapes: Mapping[str, tuple[int, ...]], **others: Array
) -> bytes:
    """The bytes of a file.

    ``parts``: key of a picture -> an array (K, ...) for each name in ``shapes``, in that order; a shape is that of a row.
    ``others``: arrays that stand in the file as they are.
    """
    file = io.BytesIO()
    rows = {
        name: np.concatenate([np.empty((0, *shape), np.float32), *(part[i] for part in parts.values())])
        for i, (name, shape) in enumerate(shapes.items())
    }
    np.savez_compressed(
        file,
        allow_pickle=False,
        keys=np.array(list(parts), np.str_),
        counts=np.array([len(part[0]) for part in parts.values()], np.int64),
        **{name: array.astype(np.float32) for name, array in rows.items()},
        **others,
    )
    return file.getvalue()


def unpack(
    file: Path, what: str, shapes: Mapping[str, tuple[int, ...]], others: Sequence[str] = ()
) -> tuple[dict[str, slice], dict[str, Array]]:
    """Where the rows of each picture stand, by its key, and the arrays by name; those of ``shapes`` as float32.

    Raises DataError, which begins with ``what``, for a file that is broken, or whose arrays do not fit one another.
    """
    names = ["keys", "counts", *shapes, *others]
    try:
        with open(file, "rb") as data:
            found = _arrays(data, names)
        found |= {name: found[name].astype(np.float32) for name in shapes}
    except _BROKEN as error:
        expected = f"{', '.join(names[:-1])} and {names[-1]}"
        raise DataError(f"{what} '{file}': expected {expected}: {error}") from error
    keys, counts = found["keys"], found["counts"]
    _check(file, what, found, shapes)
    ends = np.cumsum(counts, dtype=np.int64).tolist()
    places = [slice(end - count, end) for end, count in zip(ends, counts.tolist(), strict=True)]
    return dict(zip(map(str, keys.tolist()), places, strict=True)), found


def _arrays(data: BinaryIO, names: Sequence[str]) -> dict[str, Array]:
    content = np.load(data, allow_pickle=False)
    if not isinstance(content, np.lib.npyio.NpzFile):
        raise ValueError(f"one array of shape {content.shape}, without names")
    return {name: content[name] for name in names}


def _check(file: Path, what: str, found: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises DataError for arrays that do not fit one another, and rows that are not finite."""
    keys, counts = found["keys"], found["counts"]
    whole = keys.ndim == 1 and counts.shape == keys.shape and counts.dtype.kind in "iu"
    fit = whole and bool((counts >= 0).all()) and len(set(keys.tolist())) == len(keys)
    total = int(counts.sum()) if fit else 0
    if not fit or any(found[name].shape != (total, *shape) for name, shape in shapes.items()):
        got = ", ".join(f"{name} {found[name].shape}" for name in ("keys", "counts", *shapes))
        raise DataError(
            f"{what} '{file}': expected different keys (P,), counts (P,) of 0 or more, and as many rows as the counts' sum, "
            f"got {got}, which do not fit"
        )
    for name in shapes:
        if not np.isfinite(found[name]).all():
            row = int(np.flatnonzero(~np.isfinite(found[name].reshape(total, -1)).all(axis=1))[0])
            raise DataError(
                f"{what} '{file}': row {row} of {name} is not finite: {found[name][row].tolist()}"
            )
