"""Writing databases, whole or not at all, whatever keeps them on the disk.

with open_writer("train_lmdb", "LMDB") as database:
    database.put(Datum(3, 227, 227, pixels, label=7).encode(), name="cat.jpg")
"""

from __future__ import annotations

import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from caffelite.data.datum import Datum
from caffelite.data.owner import NOBODY
from caffelite.errors import DataError, UsageError

StrPath = str | os.PathLike[str]
Record = tuple[bytes, bytes]  # key and value

_COMMIT_EVERY = 1000  # records, as Caffe's converters do
_MAX_KEY_BYTES = 511  # LMDB's limit
BACKENDS = ("LMDB", "LEVELDB")


class DatabaseWriter(ABC):
    """A new database that appears at ``path`` when the block ends well; otherwise nothing is left.

    It grows in a directory beside ``path``, which is renamed at the end.

    Raises:
        DataError: there is something at ``path`` already, or the disk refuses.
    """

    def __init__(self, path: StrPath):
        self.path = Path(path)
        if os.path.lexists(self.path):
            raise DataError(f"'{self.path}' exists already\n  Fix: remove it, or choose another name")
        self.count = 0
        self._pending: list[Record] = []
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            self._temporary.mkdir()
        except OSError as error:
            fix = f"mkdir -p '{self.path.parent}'" if not self.path.parent.is_dir() else ""
            raise NOBODY.error(f"cannot write '{self.path}': {error.strerror}", fix=fix) from error

    def put(self, record: bytes | Datum, name: str = "", key: str = "") -> None:
        """Adds a record, one thousand of them in one transaction.

        Its key is ``key`` if that is given; otherwise its number with 8 digits, then ``_name`` if there is one:
        the keys of Caffe's converters. Records are read in the order of their keys. A key that was there
        before gets the new record.
        """
        key = key or (f"{self.count:08d}_{name}" if name else f"{self.count:08d}")
        data = record.encode() if isinstance(record, Datum) else record
        self._pending.append((key.encode("utf-8", "surrogateescape")[:_MAX_KEY_BYTES], data))
        self.count += 1
        if len(self._pending) == _COMMIT_EVERY:
            with self._writing():
                self._flush()

    def close(self) -> None:
        """Writes what is left and gives the database its name."""
        with self._writing():
            self._flush()
            self._finish(self._temporary)
            os.rename(self._temporary, self.path)

    def discard(self) -> None:
        """Gives up: removes what was written."""
        self._abandon()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> DatabaseWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _flush(self) -> None:
        self._commit(self._pending)
        self._pending.clear()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        errors: tuple[type[Exception], ...] = (OSError, *self._errors())
        try:
            yield
        except errors as error:
            self.discard()
            raise DataError(f"cannot write '{self.path}': {error}") from error

    @abstractmethod
    def _errors(self) -> tuple[type[Exception], ...]:
        """What the backend's library raises when it cannot write."""

    @abstractmethod
    def _commit(self, records: Sequence[Record]) -> None:
        """Writes the records in one transaction."""

    @abstractmethod
    def _finish(self, folder: Path) -> None:
        """Forces everything to the disk and closes the database in ``folder``."""

    @abstractmethod
    def _abandon(self) -> None:
        """Closes the database; what is in it no longer matters. May be called after ``_finish``."""


def open_writer(path: StrPath, backend: str = "LMDB") -> DatabaseWriter:
    """A writer of a new database. ``backend``: ``LMDB`` or ``LEVELDB``, in either case of letters.

    Raises:
        UsageError: another backend.
        DataError: there is something at ``path`` already, it cannot be written, or a library is missing.
    """
    from caffelite.data.leveldb import LevelDbWriter
    from caffelite.data.lmdb import LmdbWriter

    if backend.upper() not in BACKENDS:
        raise UsageError(f"expected a backend {' or '.join(BACKENDS)}, got '{backend}'")
    return LmdbWriter(path) if backend.upper() == "LMDB" else LevelDbWriter(path)
