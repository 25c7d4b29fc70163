"""Text files as people make them."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from pathlib import Path

from caffelite.errors import DataError, MissingFileError


def number(value: object) -> float | None:
    """The number that a text, or a value of JSON, stands for; None if it is none. ``nan`` is a number."""
    try:
        return float(value) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        return None


def size_of(width: object, height: object) -> tuple[int, int]:
    """Width and height as a file tells them; 0, 0 if it does not, or not in numbers."""
    w, h = number(width) or 0.0, number(height) or 0.0
    return (int(w), int(h)) if isfinite(w) and isfinite(h) else (0, 0)


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, a mark at its beginning or not, or UTF-16 with one.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no text.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(path) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path}:{line}: no UTF-8 text\n  Fix: save the file as UTF-8") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that are not empty, without spaces around them, and their numbers from 1.

    Raises what :func:`read_text` does.
    """
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            yield number, line.strip()
