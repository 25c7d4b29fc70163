"""MNIST: reading its idx files and writing the databases that Caffe's convert_mnist_data writes.

Source of the format and the data: LeCun, Cortes, Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.atomic import atomic_write, make_folder
from caffelite.data.datum import Datum
from caffelite.data.writer import open_writer
from caffelite.errors import DataError, MissingFileError

StrPath = str | os.PathLike[str]

# SHA-256 of the unpacked files: mirrors pack them differently.
CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)

_UBYTE = 8
_GZIP_MAGIC = b"\x1f\x8b"
_TIMEOUT = 30.0  # seconds without a byte


def read_idx(path: StrPath) -> np.ndarray:
    """The array in an idx file of unsigned bytes, packed with gzip or not; read-only.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no idx file of unsigned bytes, or shorter or longer than its header says.
    """
    data = _unpacked(path)
    if len(data) < 4 or data[:2] != b"\0\0":
        raise DataError(f"'{path}' is no idx file: it should start with two zero bytes, not {data[:2]!r}")
    if data[2] != _UBYTE:
        raise DataError(f"'{path}': expected an idx file of unsigned bytes (type 8), got type {data[2]}")
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise DataError(f"'{path}' is cut short in its header, after {len(data)} bytes")
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    values = np.frombuffer(data, np.uint8, offset=start)
    if values.size != prod(shape):
        raise DataError(f"'{path}': its header tells of shape {shape}, but {values.size} bytes follow it")
    return values.reshape(shape)


def convert_mnist(images: StrPath, labels: StrPath, database: StrPath, backend: str = "LMDB") -> int:
    """Writes images (N, H, W) and labels (N,) of two idx files to a new LMDB or LevelDB; gives N.

    The records are those of Caffe's convert_mnist_data: key ``%08d``, one channel.

    Raises:
        MissingFileError, DataError: files that are missing, broken or do not fit each other; the database
            exists already.
    """
    return _write(*read_pair(images, labels), database, backend)


def make_mnist(source: StrPath, target: StrPath) -> tuple[Path, Path]:
    """Writes ``mnist_train_lmdb`` and ``mnist_test_lmdb`` into the directory ``target`` (made if need be).

    ``source``: the directory with the four idx files (``train-images-idx3-ubyte``, ... with or without
    ``.gz``).

    Raises:
        MissingFileError, DataError: as :func:`convert_mnist`; all is checked before anything is written.
    """
    folder = Path(source)
    train = read_pair(_find(folder, "train-images-idx3-ubyte"), _find(folder, "train-labels-idx1-ubyte"))
    test = read_pair(_find(folder, "t10k-images-idx3-ubyte"), _find(folder, "t10k-labels-idx1-ubyte"))
    paths = Path(target) / "mnist_train_lmdb", Path(target) / "mnist_test_lmdb"
    for path in paths:
        if os.path.lexists(path):
            raise DataError(
                f"'{path}' exists already\n  Fix: remove it, or write into another directory with --to DIR"
            )
    make_folder(target)
    for pair, path in zip((train, test), paths, strict=True):
        _write(*pair, path)
    return paths


def download(
    target: StrPath,
    mirrors: Sequence[str] = MIRRORS,
    report: Callable[[str], None] | None = None,
    opener: Callable[..., Any] = urllib.request.urlopen,
) -> Path:
    """Fetches the four files (11 MB) into the directory ``target``, and gives that.

    Files that are there already and right are kept. ``report`` gets a line for each file.

    Raises:
        DataError: no mirror delivers a file with the right contents; tells what each one did.
        SnapshotError: the directory is not writable.
    """
    folder = make_folder(target)
    for name in CHECKSUMS:
        path = folder / f"{name}.gz"
        if path.exists() and _is_right(name, path.read_bytes()):
            continue
        data, mirror = _fetch(name, mirrors, opener)
        with atomic_write(path) as file:
            file.write(data)
        if report:
            report(f"{name}.gz: {len(data)} bytes from {mirror}")
    return folder


def _fetch(name: str, mirrors: Sequence[str], opener: Callable[..., Any]) -> tuple[bytes, str]:
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}.gz"
        try:
            with opener(url, timeout=_TIMEOUT) as answer:
                data = answer.read()
        except OSError as error:  # urllib's errors, timeouts and broken connections are OSErrors
            failures.append(f"{url}: {error}")
            continue
        if _is_right(name, data):
            return data, mirror
        failures.append(f"{url}: {len(data)} bytes with a wrong checksum")
    fix = "check the network, or copy the files there and use `caffelite data mnist --from DIR`"
    raise DataError("\n  ".join([f"cannot download '{name}.gz'", *failures]) + f"\n  Fix: {fix}")


def _is_right(name: str, packed: bytes) -> bool:
    try:
        data = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error):
        return False
    return hashlib.sha256(data).hexdigest() == CHECKSUMS[name]


def _find(folder: Path, name: str) -> Path:
    """The file under one of its usual names: packed or not, ``-idx3`` or ``.idx3``."""
    names = [f"{stem}{end}" for stem in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    for candidate in names:
        if (folder / candidate).is_file():
            return folder / candidate
    raise MissingFileError(folder / name, "MNIST file", "`caffelite data mnist --download` fetches it")


def _unpacked(path: StrPath) -> bytes:
    if not os.path.exists(path):
        raise MissingFileError(os.fspath(path), "idx file")
    data = Path(path).read_bytes()
    if not data.startswith(_GZIP_MAGIC):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"'{path}' is damaged: {error}\n  Fix: download it again") from error


def read_pair(images: StrPath, labels: StrPath) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W) and labels (N,) of two idx files. Raises MissingFileError, DataError as :func:`convert_mnist`."""
    pixels, classes = read_idx(images), read_idx(labels)
    if pixels.ndim != 3:
        raise DataError(f"'{images}': expected images (N, H, W), got an array of shape {pixels.shape}")
    if classes.ndim != 1:
        raise DataError(f"'{labels}': expected labels (N,), got an array of shape {classes.shape}")
    if len(pixels) != len(classes):
        raise DataError(f"'{images}' holds {len(pixels)} images, but '{labels}' {len(classes)} labels")
    return pixels, classes


def _write(pixels: np.ndarray, labels: np.ndarray, database: StrPath, backend: str = "LMDB") -> int:
    with open_writer(database, backend) as writer:
        for image, label in zip(pixels, labels.tolist(), strict=True):
            writer.put(Datum(1, image.shape[0], image.shape[1], image.tobytes(), label))
    return len(pixels)
