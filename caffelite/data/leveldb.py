"""LevelDB databases, Caffe's default backend, through plyvel.

A LevelDB may be open once on the whole machine, and opening it writes to it. So a reader opens a directory of
its own that holds links to the database's files: any number of processes read at once, from read-only disks
too, and the database stays as it is byte for byte.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.data.database import check_kind
from caffelite.data.keys import Keys, readable
from caffelite.data.owner import NOBODY, Owner
from caffelite.data.writer import DatabaseWriter, Record, StrPath

_LIBRARIES = ("plyvel", "plyvel_next")  # the second is the first's continuation, for Python 3.12 and newer
_OWN = {"LOCK", "LOG", "LOG.old"}  # files that each opening makes for itself
_OPEN_FILES = 100  # Caffe's numbers
_BLOCK_BYTES = 1 << 16
_BUFFER_BYTES = 1 << 26
_CAFFES_BUFFER_BYTES = 1 << 28  # so much may lie in a log that is to be read in one piece


class LevelDbReader:
    """The records of a LevelDB, by number in the order of their keys.

    LevelDB does not know how many records it holds, so opening it reads all keys, which means all of its blocks,
    unless they are given as ``keys``.

    Raises:
        MissingFileError: there is nothing at ``path``.
        DataError: what is there is no LevelDB, or is empty or damaged; or plyvel is not installed.
    """

    def __init__(self, path: StrPath, owner: Owner = NOBODY, keys: Keys | None = None):
        self.path = os.fspath(path)
        self._owner = owner
        check_kind(self.path, "LEVELDB", owner)
        self._library = _load(owner)
        folder = _mirror(self.path)
        with self._damage():
            try:
                self._database = self._library.DB(
                    folder, max_open_files=_OPEN_FILES, write_buffer_size=_CAFFES_BUFFER_BYTES
                )
            except self._errors():
                shutil.rmtree(folder)
                raise
        self._iterators: list[Any] = []  # at most one; plyvel crashes if the database is closed before it
        self._finalizer = weakref.finalize(
            self, _release, self._iterators, self._database, folder, os.getpid()
        )
        with self._damage():
            if keys is None:
                with self._database.iterator(include_value=False) as found:
                    keys = Keys(found)
        self.keys, self._at = keys, -1
        if not len(self):
            self.close()
            raise owner.error(f"database '{self.path}' is empty", fix="write the database again")

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, start: int, count: int) -> list[bytes]:
        """``count`` records one after the other from number ``start``, going round at the end."""
        with self._damage():
            found: list[bytes] = []
            while len(found) < count:
                self._seek((start + len(found)) % len(self))
                part = list(islice(self._iterators[0], count - len(found)))
                self._at += len(part)
                found += part
            return found

    def pick(self, numbers: Sequence[int] | np.ndarray) -> list[bytes]:
        """The records with these numbers."""
        with self._damage():
            return [self._database.get(key) for key in self.keys.pick(np.asarray(numbers))]

    def key(self, number: int) -> str:
        """The key of a record, for messages."""
        return readable(self.keys.key(number % len(self)))

    def close(self) -> None:
        """Ends the reader. May be called twice; happens by itself when nobody holds the reader any more."""
        self._finalizer()

    def __enter__(self) -> LevelDbReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _seek(self, number: int) -> None:
        if number != self._at:
            _close_all(self._iterators)
            start = self.keys.key(number)
            self._iterators.append(self._database.iterator(start=start, include_key=False, fill_cache=False))
            self._at = number

    def _errors(self) -> tuple[type[Exception], ...]:
        return (self._library.Error, self._library.IOError)

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except self._errors() as error:
            text = f"LevelDB '{self.path}' is damaged: {_text(error)}"
            raise self._owner.error(text, fix="copy or write it again") from error


class LevelDbWriter(DatabaseWriter):
    """Writes a new LevelDB, whole or not at all, with Caffe's block size and Snappy compression."""

    def __init__(self, path: StrPath):
        self._library = _load(NOBODY)
        super().__init__(path)
        self._database = self._library.DB(
            os.fspath(self._temporary),
            create_if_missing=True,
            error_if_exists=True,
            max_open_files=_OPEN_FILES,
            block_size=_BLOCK_BYTES,
            write_buffer_size=_BUFFER_BYTES,
        )

    def _errors(self) -> tuple[type[Exception], ...]:
        return (self._library.Error, self._library.IOError)

    def _commit(self, records: Sequence[Record]) -> None:
        with self._database.write_batch() as batch:
            for key, record in records:
                batch.put(key, record)

    def _finish(self, folder: Path) -> None:
        with self._database.write_batch(sync=True):
            pass  # an empty batch that is synced forces all earlier ones to the disk
        self._database.close()
        # Opening turns the log into a table; otherwise each reader would do that for itself.
        self._library.DB(os.fspath(folder), write_buffer_size=_CAFFES_BUFFER_BYTES).close()
        for name in _OWN:
            (folder / name).unlink(missing_ok=True)

    def _abandon(self) -> None:
        self._database.close()


def _load(owner: Owner) -> Any:
    for name in _LIBRARIES:
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    fix = "pip install 'caffelite[leveldb]', or convert the database to LMDB and write backend: LMDB in data_param"
    raise owner.error("LevelDB, Caffe's default backend, needs plyvel, which is not installed", fix=fix)


def _mirror(path: str) -> str:
    """A temporary directory with links to all of the database's files."""
    folder = tempfile.mkdtemp(prefix="caffelite-leveldb-")
    link = shutil.copy2 if os.name == "nt" else os.symlink
    for entry in os.scandir(os.path.abspath(path)):
        if entry.name not in _OWN:
            link(entry.path, os.path.join(folder, entry.name))
    return folder


def _close_all(iterators: list[Any]) -> None:
    while iterators:
        iterators.pop().close()


def _release(iterators: list[Any], database: Any, folder: str, creator: int) -> None:
    if os.getpid() != creator:  # forked: database and directory are our parent's
        return
    _close_all(iterators)
    database.close()
    shutil.rmtree(folder, ignore_errors=True)


def _text(error: Exception) -> str:
    (first, *_) = error.args or ("",)
    return readable(first) if isinstance(first, bytes) else str(first)
