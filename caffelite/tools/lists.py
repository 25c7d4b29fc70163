"""Text files that list files, a line each."""

from __future__ import annotations

from pathlib import Path

from caffelite.errors import DataError
from caffelite.prototxt.binary import read_bytes


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """The lines of a list that are not empty, without blanks around them, with their numbers from 1.

    Lines end with ``\\n`` or ``\\r\\n`` alone, since names may hold whatever else Unicode counts as a line's end. A
    byte-order mark at the start is no part of the first name; bytes that are no UTF-8 come back as the system's names
    have them.

    Raises:
        MissingFileError, DataError: no such file, or an empty list.
    """
    text = read_bytes(path, "list").removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"list '{path}' is empty")
    return lines
