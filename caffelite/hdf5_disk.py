"""HDF5 files that are written whole or not at all, on a full disk too.

The HDF5 library does not stand a write that fails: it prints, loses what it held, and in the end the process dies. So it
writes through a file of ours that never fails, and remembers that it should have.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from typing import Any, TypeVar

from caffelite.atomic import atomic_path

StrPath = str | os.PathLike[str]

_T = TypeVar("_T")


@contextmanager
def write_hdf5(path: StrPath) -> Iterator[Any]:
    """An ``h5py.File`` open for writing that becomes ``path`` when the block ends well.

    Raises:
        SnapshotError: as :func:`caffelite.atomic.atomic_path`.
    """
    import h5py

    with atomic_path(path) as temporary:
        disk = Disk(temporary)
        try:
            with h5py.File(disk, "w") as file:
                yield file
        except Exception:
            disk.check()  # then it is the reason for whatever the library tripped over
            raise
        finally:
            disk.close()
        disk.check()


class Disk:
    """A new file in the form that ``h5py.File`` takes. After the first error nothing is written any more.

    Nor is anything in a forked child, which shares the file with its parent.

    Raises:
        OSError: there is a file of this name, or none can be made.
    """

    def __init__(self, path: StrPath):
        self._file = FileIO(path, "x+")
        self._at = 0  # the place of the next read or write; a fork would move the file's own
        self._creator = os.getpid()
        self._error: OSError | None = None

    def check(self) -> None:
        """Raises the OSError that the library was not told of."""
        if self._error is not None:
            raise OSError(self._error.errno, self._error.strerror) from self._error

    def close(self) -> None:
        """Ends it. May be called twice."""
        try:
            self._file.close()
        except OSError as error:
            self._error = self._error or error

    # -- what h5py calls --------------------------------------------------------------------------------

    def write(self, data: Any) -> int:
        """Writes all of it."""
        view = memoryview(data).cast("B")
        self._try(lambda: self._write(view), None)
        self._at += len(view)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer, with zeros where the file has ended."""
        view = memoryview(buffer).cast("B")
        found = self._try(lambda: self._read(view), 0)
        view[found:] = bytes(len(view) - found)
        self._at += len(view)
        return len(view)

    def read(self, size: int) -> bytes:
        """Bytes, zeros where the file has ended."""
        buffer = bytearray(size)
        self.readinto(buffer)
        return bytes(buffer)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a place counted from the start, from here, or from the end."""
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size()}
        self._at = starts[whence] + offset
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def truncate(self, size: int | None = None) -> int:
        """Cuts the file off, or fills it up."""
        size = self._at if size is None else size
        return self._try(lambda: self._file.truncate(size), size)

    def flush(self) -> None:
        """Nothing waits here."""

    def _size(self) -> int:
        return self._try(lambda: os.fstat(self._file.fileno()).st_size, self._at)

    def _write(self, view: memoryview) -> None:
        self._file.seek(self._at)
        while view:
            view = view[self._file.write(view) :]

    def _read(self, view: memoryview) -> int:
        self._file.seek(self._at)
        found = 0
        while found < len(view) and (more := self._file.readinto(view[found:])):
            found += more
        return found

    def _try(self, call: Callable[[], _T], instead: _T) -> _T:
        if self._error is None and self._creator == os.getpid():
            try:
                return call()
            except OSError as error:
                self._error = error
        return instead
