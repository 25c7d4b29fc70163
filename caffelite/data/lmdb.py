"""LMDB databases as Caffe writes and reads them: records in the order of their keys."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.data.database import check_kind
from caffelite.data.keys import Keys, readable
from caffelite.data.owner import NOBODY, Owner
from caffelite.data.writer import DatabaseWriter, Record, StrPath
from caffelite.errors import DataError

_FIRST_MAP_BYTES = 1 << 24


class LmdbReader:
    """The records of a database, by number in the order of their keys.

    Any number of readers may be open in one process. A reader is for one thread at a time.

    Raises:
        MissingFileError: there is nothing at ``path``.
        DataError: what is there is no LMDB, or is empty, truncated or damaged.
    """

    def __init__(self, path: StrPath, owner: Owner = NOBODY):
        self.path = os.fspath(path)
        self._owner = owner
        self._keys: Keys | None = None
        share = _acquire(self.path, owner)
        self._transaction = share.environment.begin()
        self._finalizer = weakref.finalize(self, _release, share, self._transaction)
        self._finalizer.atexit = False
        self._cursor = self._transaction.cursor()
        self._at = -1  # the record under the cursor
        self._size: int = share.environment.stat()["entries"]
        if not self._size:
            self.close()
            raise owner.error(f"database '{self.path}' is empty", fix="write the database again")

    def __len__(self) -> int:
        return self._size

    def read(self, start: int, count: int) -> list[bytes]:
        """``count`` records one after the other from number ``start``, going round at the end."""
        with self._damage():
            records: list[bytes] = []
            while len(records) < count:
                self._seek((start + len(records)) % self._size)
                part = list(islice(self._cursor.iternext(keys=False, values=True), count - len(records)))
                self._at += len(part) - 1
                records += part
            return records

    def pick(self, numbers: Sequence[int] | np.ndarray) -> list[bytes]:
        """The records with these numbers. The first call reads all keys (60,000: 20 ms)."""
        with self._damage():
            return [self._get(key) for key in self._all_keys().pick(np.asarray(numbers))]

    def key(self, number: int) -> str:
        """The key of a record, for messages."""
        with self._damage():
            return readable(self._all_keys().key(number % self._size))

    def close(self) -> None:
        """Ends the reader. May be called twice; happens by itself when nobody holds the reader any more."""
        self._finalizer()

    def __enter__(self) -> LmdbReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get(self, key: bytes) -> bytes:
        record: bytes | None = self._transaction.get(key)
        if record is None:
            raise _damaged(self.path, self._owner, f"there is a key {key!r:.60} without a record")
        return record

    def _seek(self, number: int) -> None:
        if self._at < 0 or number < self._at:
            self._cursor.first()
            self._at = 0
        for _ in range(number - self._at):
            self._cursor.next()
        self._at = number

    def _all_keys(self) -> Keys:
        if self._keys is None:
            with self._transaction.cursor() as cursor:
                self._keys = Keys(cursor.iternext(keys=True, values=False))
        return self._keys

    @contextmanager
    def _damage(self) -> Iterator[None]:
        import lmdb

        try:
            yield
        except lmdb.Error as error:
            raise _damaged(self.path, self._owner, str(error)) from error


class LmdbWriter(DatabaseWriter):
    """Writes a new LMDB, whole or not at all: it appears at ``path`` when the block ends well.

    Example::

        with LmdbWriter("train_lmdb") as database:
            database.put(Datum(1, 28, 28, pixels, label=7).encode())

    Raises:
        DataError: there is something at ``path`` already, or the disk refuses.
    """

    def __init__(self, path: StrPath):
        import lmdb

        super().__init__(path)
        # Nothing is looked at before the end, so one sync there is enough.
        self._environment = lmdb.open(os.fspath(self._temporary), map_size=_FIRST_MAP_BYTES, sync=False)

    def _errors(self) -> tuple[type[Exception], ...]:
        import lmdb

        return (lmdb.Error,)

    def _commit(self, records: Sequence[Record]) -> None:
        """In a larger map if they do not fit."""
        import lmdb

        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key, record in records:
                        transaction.put(key, record)
                return
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])

    def _finish(self, folder: Path) -> None:
        self._environment.sync(True)
        self._environment.close()
        (folder / "lock.mdb").unlink(missing_ok=True)

    def _abandon(self) -> None:
        self._environment.close()


# LMDB must not be opened twice by one process, so readers of one database share its environment.
_lock = threading.RLock()  # a collected reader may be released in the middle of opening another
_shares: dict[str, _Share] = {}


@dataclass(eq=False)
class _Share:
    """An open environment and the number of its readers."""

    key: str
    environment: Any
    readers: int = 0


def _acquire(path: str, owner: Owner) -> _Share:
    key = _identity(path)
    with _lock:
        share = _shares.get(key) or _shares.setdefault(key, _Share(key, _open(path, owner)))
        share.readers += 1
        return share


def _identity(path: str) -> str:
    """Names a database. One that was written anew at the place of another, which may still be open, is not that one."""
    file = os.path.join(path, "data.mdb")
    number = os.stat(file).st_ino if os.path.exists(file) else 0
    return f"{os.path.realpath(path)} {number}"


def _release(share: _Share, transaction: Any) -> None:
    transaction.abort()
    with _lock:
        share.readers -= 1
        if not share.readers and _shares.get(share.key) is share:
            share.environment.close()
            del _shares[share.key]


def _after_fork() -> None:
    """A child must not use what its parent opened. (py-lmdb leaves the parent's place in the lock file.)"""
    global _lock
    _lock = threading.RLock()
    for share in _shares.values():
        share.environment.close()
    _shares.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _open(path: str, owner: Owner) -> Any:
    import lmdb

    check_kind(path, "LMDB", owner)
    try:
        environment = _open_locked(path)
    except lmdb.InvalidError as error:
        raise owner.error(
            f"'{path}' is no LMDB", str(error), "check its origin, or write it again"
        ) from error
    except lmdb.Error as error:
        raise owner.error(f"cannot open the LMDB '{path}': {error}") from error
    try:
        _check_size(path, environment, owner)
    except DataError:
        environment.close()
        raise
    return environment


def _open_locked(path: str) -> Any:
    """Registers as a reader, so that a program that writes to the database does not reuse our pages.

    In a directory where we may not write nobody else is likely to either: there we read without a lock.
    """
    import lmdb

    lock_file = os.path.join(path, "lock.mdb")
    can_lock = os.access(lock_file if os.path.exists(lock_file) else path, os.W_OK)
    environment = lmdb.open(path, readonly=True, create=False, lock=can_lock)
    if can_lock:
        environment.reader_check()  # frees the places of readers that were killed
    return environment


def _check_size(path: str, environment: Any, owner: Owner) -> None:
    """A look beyond the end of a mapped file would end the process with a bus error."""
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    size = os.path.getsize(os.path.join(path, "data.mdb"))
    if size < needed:
        raise _damaged(path, owner, f"data.mdb is cut short: {size} bytes of {needed}")


def _damaged(path: str, owner: Owner, what: str) -> DataError:
    return owner.error(f"LMDB '{path}' is damaged: {what}", fix="copy or write it again")
