"""Databases of records, whichever library keeps them: which kind one is, and opening it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from caffelite.data.keys import Keys
from caffelite.data.owner import NOBODY, Owner
from caffelite.data.writer import BACKENDS, StrPath
from caffelite.errors import MissingFileError

_NAMES = {"LMDB": "an LMDB", "LEVELDB": "a LevelDB"}


class Database(Protocol):
    """The records of a database, by number in the order of their keys."""

    def __len__(self) -> int: ...

    def read(self, start: int, count: int) -> list[bytes]:
        """``count`` records one after the other from number ``start``, going round at the end."""
        ...

    def pick(self, numbers: Sequence[int] | np.ndarray) -> list[bytes]:
        """The records with these numbers."""
        ...

    def key(self, number: int) -> str:
        """The key of a record, for messages."""
        ...

    def close(self) -> None:
        """Ends the reader. May be called twice."""
        ...

    def __enter__(self) -> Database: ...

    def __exit__(self, *_: object) -> None: ...


def open_database(
    path: StrPath, backend: str = "", owner: Owner = NOBODY, keys: Keys | None = None
) -> Database:
    """The database at ``path``. ``backend``: ``LMDB``, ``LEVELDB`` (Caffe's default), or empty: whichever it is.

    ``keys`` are those of the LevelDB, if they are known already: it does not have to be read through for them.

    Raises:
        MissingFileError: there is nothing at ``path``.
        DataError: a database of another kind, a broken one, or plyvel is not installed; says what to do.
    """
    from caffelite.data.leveldb import LevelDbReader
    from caffelite.data.lmdb import LmdbReader

    if (backend or database_kind(path)) == "LEVELDB":
        return LevelDbReader(path, owner, keys)
    return LmdbReader(path, owner)


def database_kind(path: StrPath) -> str:
    """``LMDB`` or ``LEVELDB``, by the files in the directory; empty for anything else."""
    folder = Path(path)
    if (folder / "data.mdb").is_file():
        return "LMDB"
    if (folder / "CURRENT").exists() and any(folder.glob("MANIFEST-*")):
        return "LEVELDB"
    return ""


def check_kind(path: str, wanted: str, owner: Owner) -> None:
    """Makes sure that there is a database of the kind ``wanted``.

    Raises:
        MissingFileError: there is nothing at ``path``.
        DataError: something else is there; tells what, and the fix.
    """
    if not os.path.exists(path):
        fix = f"make the database, or mend the path; it is looked up from '{os.getcwd()}'"
        raise MissingFileError(path, owner.message("database"), fix)
    found = database_kind(path)
    if found == wanted:
        return
    if os.path.isfile(path):
        fix = f"give its directory, '{Path(path).parent}'" if Path(path).name == "data.mdb" else ""
        raise owner.error(f"expected the directory of {_NAMES[wanted]} at '{path}'", "a file", fix)
    default = " (the default backend)" if wanted == "LEVELDB" else ""
    expected = f"expected {_NAMES[wanted]} at '{path}'{default}"
    if found in BACKENDS:
        raise owner.error(expected, _NAMES[found], f"write backend: {found} in data_param")
    missing = "data.mdb" if wanted == "LMDB" else "CURRENT and MANIFEST"
    raise owner.error(expected, f"a directory without {missing}", "mend the path")
