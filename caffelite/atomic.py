"""Files that are written whole or not at all.

A snapshot that is cut short by a full disk, a signal or a power cut must not take the previous one with it.
So everything is written to a temporary file in the same directory, forced to the disk, and renamed over the
target.
"""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from caffelite.errors import CaffeliteError, SnapshotError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_DIRECTORY = {errno.ENOENT, errno.ENOTDIR}
_CANNOT_SYNC_DIRECTORY = {errno.EINVAL, errno.ENOTSUP}


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Hands out the path of a temporary file; what was written there becomes ``path`` when the block ends
    well.

    For libraries that write by path (h5py); everything else takes :func:`atomic_write`. If the block raises,
    the temporary file is removed and a file that was at ``path`` before stays as it was.

    Raises:
        SnapshotError: the operating system refused to write (disk full, no such directory, no permission), or
            ``path`` is something that no file may take the place of.
    """
    target = _target(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        _check_replaceable(target)
        yield temporary
        _sync(temporary, os.O_RDWR)
        os.replace(temporary, target)
        _sync_directory(target.parent)
    except CaffeliteError:
        raise
    except OSError as error:
        raise SnapshotError(_message(f"cannot write '{os.fspath(path)}'", target.parent, error)) from error
    finally:
        # After a failure the temporary file may be out of reach too; the first error is the one to report.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file open for writing that becomes ``path`` when the block ends well.

    Raises:
        SnapshotError: as :func:`atomic_path`.

    Example::

        with atomic_write("net.prototxt") as file:
            file.write(text.encode())
    """
    with atomic_path(path) as temporary, open(temporary, "xb") as file:
        yield file


def check_target(path: str | os.PathLike[str]) -> None:
    """Makes sure that a file can be written at ``path``, before hours are spent on what it is to hold.

    Raises:
        SnapshotError: as :func:`atomic_path`.
    """
    target = _target(path)
    try:
        _check_replaceable(target)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise SnapshotError(_message(f"cannot write '{os.fspath(path)}'", target.parent, error)) from error


def make_folder(path: str | os.PathLike[str]) -> Path:
    """The folder, made with those above it if need be.

    Raises:
        SnapshotError: the operating system refused to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SnapshotError(f"cannot make the folder '{folder}': {error.strerror or error}") from error
    return folder


def check_writable(prefix: str | os.PathLike[str]) -> None:
    """Makes sure that snapshots ``{prefix}_iter_N...`` can be written, by writing and removing a small file.

    Asked before training starts: a wrong directory should cost a second, not the hours up to the first
    snapshot.

    Raises:
        SnapshotError: the directory is missing or not writable, or its disk is full.
    """
    probe = Path(f"{os.fspath(prefix)}_iter_0.{secrets.token_hex(4)}.tempfile")
    try:
        with open(probe, "xb") as file:
            file.write(b"\0")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        what = f"cannot write to snapshot prefix '{os.fspath(prefix)}'"
        raise SnapshotError(_message(what, probe.parent, error)) from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _target(path: str | os.PathLike[str]) -> Path:
    """Where links lead. Raises SnapshotError for ``-``, which other programs take for standard output."""
    if os.fspath(path) == "-":
        raise SnapshotError("cannot write '-': files are not written to standard output\n  Fix: name a file")
    return Path(os.path.realpath(path))


def _check_replaceable(target: Path) -> None:
    """A rename puts a file in the place of whatever is there, of ``/dev/null`` too."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if target.exists() and not target.is_file():
        raise FileExistsError(errno.EEXIST, "it is a device or a pipe, and a file would replace it")


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    """Forces the rename itself to the disk, where directories can be synced (not on Windows, nor on some
    FUSE).
    """
    if os.name == "nt":
        return
    try:
        _sync(directory, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_DIRECTORY:
            raise


def _message(what: str, directory: Path, error: OSError) -> str:
    text = f"{what}: {error.strerror or error}"
    fix = _fix(directory, error.errno)
    return f"{text}\n  Fix: {fix}" if fix else text


def _fix(directory: Path, code: int | None) -> str:
    if code in _NO_DIRECTORY:
        if directory.is_dir():
            return ""
        return f"create the directory '{directory}' (mkdir -p '{directory}')"
    if code in _NO_SPACE:
        return f"free some space on the disk of '{directory}', or write to another disk"
    if code in _NOT_ALLOWED:
        return f"make the directory '{directory}' writable for this user, or write to another directory"
    return ""
