"""What a file is, told from its bytes and never from its name.

Most failed loads are a right file in the wrong place or a wrong file under the right name: a solver state
given as weights, a PyTorch checkpoint, the web page that a download link answered with. Each is named, with
its cure.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from caffelite.errors import MissingFileError, WeightsError
from caffelite.weights import wire
from caffelite.weights.wire import Reader

StrPath = str | os.PathLike[str]

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LMDB_MAGIC = b"\xde\xc0\xef\xbe"
_HEAD_BYTES = 512


class Kind(NamedTuple):
    """A kind of file and what to do when it turns up where another was expected."""

    what: str
    fix: str


CAFFEMODEL = Kind(
    "a Caffe model (.caffemodel)",
    "resume from the .solverstate written beside it, or pass this file as weights (-weights)",
)
SOLVERSTATE = Kind(
    "a Caffe solver state (.solverstate)",
    "give the .caffemodel written beside it; to resume training pass this file as the snapshot (-snapshot)",
)
BLOB = Kind("a single blob (.binaryproto)", "this is a mean image: name it as mean_file of transform_param")
HDF5 = Kind("an HDF5 file", "give a file in the binary format")
SAFETENSORS = Kind("a safetensors file", "pass this file as weights (-weights); it holds nothing else")
NPZ = Kind(
    "a NumPy archive (.npz)", "pass this file as weights (-weights), its arrays named '<layer>.<index>'"
)

_EMPTY = Kind("an empty file", "download or copy the file again; the disk may have been full")
_DIRECTORY = Kind("a directory", "give the file itself")
_DATABASE = Kind("a database (LMDB or LevelDB)", "it goes into source of data_param")
TEXT = Kind("a text file", "a prototxt is given as the net (-model); weights are .caffemodel files")
_HTML = Kind("a web page (HTML)", "the download link answered with a page; download it again")
_LFS = Kind("a Git LFS pointer", "fetch the file itself with 'git lfs pull'")
_ONNX = Kind("an ONNX model", "convert it to a caffemodel first")
_TENSORFLOW = Kind("a TensorFlow graph", "convert it to a caffemodel first")
_ARCHIVE = Kind("a compressed archive", "unpack it and give the file inside")
_PICTURE = Kind("a picture", "give the file of weights")
_NO_LAYERS = Kind("a file that holds no layers", "check that this is the right file and that it is complete")
_CONVERT = "save the arrays as safetensors named '<layer>.<index>' and give that file"

# (offset, bytes, kind)
_SIGNATURES = (
    (0, b"PK\x03\x04", Kind("a zip archive (a PyTorch or Keras file)", _CONVERT)),
    (0, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", Kind("a PyTorch checkpoint", _CONVERT)),
    (0, b"\x80", Kind("a Python pickle", _CONVERT)),
    (0, b"\x93NUMPY", Kind("a NumPy array (.npy)", _CONVERT)),
    (4, b"TFL3", Kind("a TensorFlow Lite model", "convert it to a caffemodel first")),
    (16, _LMDB_MAGIC, _DATABASE),
    (257, b"ustar", _ARCHIVE),
    (0, b"\x1f\x8b", _ARCHIVE),
    (0, b"BZh", _ARCHIVE),
    (0, b"\xfd7zXZ\0", _ARCHIVE),
    (0, b"\x89PNG\r\n\x1a\n", _PICTURE),
    (0, b"\xff\xd8\xff", _PICTURE),
)


@contextmanager
def open_for_reading(path: StrPath, what: str) -> Iterator[FileIO]:
    """The file, unbuffered.

    Raises:
        MissingFileError: there is none.
        WeightsError: it cannot be opened or read.
    """
    try:
        with FileIO(os.fspath(path), "r") as file:
            yield file
    except FileNotFoundError:
        raise MissingFileError(os.fspath(path), what) from None
    except OSError as error:
        raise WeightsError(f"cannot read {what} '{os.fspath(path)}': {error.strerror or error}") from error


def recognise(path: StrPath) -> Kind:
    """Tells what the file is; HDF5 files are not looked into.

    Raises:
        MissingFileError: there is no such file.
        WeightsError: damaged so early that nothing can be told.
    """
    folder = Path(path)
    if folder.is_dir():
        is_database = (folder / "data.mdb").exists() or (folder / "CURRENT").exists()
        return _DATABASE if is_database else _DIRECTORY
    with open_for_reading(path, "file") as file:
        reader = Reader(file, path)
        head = reader.read(0, min(reader.size, _HEAD_BYTES))
        return _by_signature(reader, head) or _by_text(head) or _by_fields(reader)


def require(path: StrPath, wanted: Kind) -> None:
    """Raises the error that names the file's kind if that is not ``wanted``."""
    kind = recognise(path)
    if kind is not wanted:
        raise wrong_kind(path, wanted.what, kind)


def wrong_kind(path: StrPath, expected: str, kind: Kind) -> WeightsError:
    """The error for a file of another kind than expected."""
    return WeightsError(f"'{os.fspath(path)}': expected {expected}, got {kind.what}\n  Fix: {kind.fix}")


def _by_signature(reader: Reader, head: bytes) -> Kind | None:
    if not head:
        return _EMPTY
    if _is_hdf5(reader):
        return HDF5
    if _is_npz(head):
        return NPZ
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= reader.size - 8:
        return SAFETENSORS
    return next((kind for at, magic, kind in _SIGNATURES if head[at : at + len(magic)] == magic), None)


def _is_hdf5(reader: Reader) -> bool:
    """The signature stands at byte 0, or after a user block at 512, 1024, 2048, ..."""
    at, step = 0, len(HDF5_SIGNATURE)
    while at + step <= reader.size:
        if reader.read(at, at + step) == HDF5_SIGNATURE:
            return True
        at = 2 * at or 512
    return False


def _is_npz(head: bytes) -> bool:
    """Whether a zip archive begins with an array; archives of PyTorch and Keras begin with something else."""
    length = int.from_bytes(head[26:28], "little")
    return head[:4] == b"PK\x03\x04" and head[30 : 30 + length].endswith(b".npy")


def _by_text(head: bytes) -> Kind | None:
    if any(byte < 0x20 and byte not in b"\t\n\r\f" for byte in head):
        return None
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the head may end inside a character
    except UnicodeDecodeError:
        return None
    if text.lstrip().startswith("<"):
        return _HTML
    return _LFS if text.startswith("version https://git-lfs") else TEXT


def _by_fields(reader: Reader) -> Kind:
    """Tells protobuf messages apart by the numbers and wire types of their top-level fields."""
    seen: set[tuple[int, int]] = set()
    damage: WeightsError | None = None
    try:
        seen.update((field.number, field.wire_type) for field in reader.fields())
    except WeightsError as error:
        damage = error
    kind = _message_kind(seen)
    if kind is _NO_LAYERS and damage:
        raise damage
    return kind


def _message_kind(seen: set[tuple[int, int]]) -> Kind:
    def has(number: int, wire_type: int) -> bool:
        return (number, wire_type) in seen

    if has(1, wire.VARINT):
        if has(7, wire.BYTES) and not has(2, wire.VARINT):
            return _ONNX
        return BLOB if has(2, wire.VARINT) else SOLVERSTATE
    if has(4, wire.BYTES):
        return _TENSORFLOW
    if has(100, wire.BYTES) or has(2, wire.BYTES):
        return CAFFEMODEL
    return BLOB if has(5, wire.BYTES) or has(5, wire.FIXED32) else _NO_LAYERS
