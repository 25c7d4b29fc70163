"""Small messages in binary files: means, label maps, solver states.

The bulk of a .caffemodel is not read here but by :mod:`caffelite.weights`, which walks the file without
building messages.
"""

from __future__ import annotations

from pathlib import Path

from caffelite.errors import DataError, MissingFileError
from caffelite.prototxt.schema import Message, message


def read_binary(source: str | Path | bytes, name: str) -> Message:
    """A message of the type ``name`` from a file or from its bytes.

    Fields that the schema lacks are kept unseen. Raises MissingFileError, and DataError for bytes that are no
    such message.
    """
    from google.protobuf.message import DecodeError

    what = f"the {len(source)} bytes" if isinstance(source, bytes) else f"'{source}'"
    data = source if isinstance(source, bytes) else read_bytes(source, f"{name} file")
    result = message(name)()
    try:
        result.ParseFromString(data)
    except DecodeError as error:
        raise DataError(f"{what} cannot be read as a binary {name}: {error}") from error
    return result


def read_bytes(path: str | Path, what: str = "file") -> bytes:
    """The content of a file. Raises MissingFileError, or DataError if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise MissingFileError(path, what) from None
    except OSError as error:
        raise DataError(f"{what} '{path}' cannot be read: {error.strerror}") from error
