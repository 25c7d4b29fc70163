"""MATLAB files of version 5, as far as lists of boxes need them: cells, numbers and texts.

Source: "MAT-File Format" (MathWorks), level 5.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.errors import DataError, MissingFileError

_STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
    17: "u2",
}
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHAR = 1, 4
_COMPLEX = 0x800
_HEAD = 128
_HDF5 = b"\x89HDF"


def read_mat(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The variables of a file: arrays of numbers, texts (str), and cells as object arrays of these.

    Variables of other kinds are left out.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no MATLAB file of version 5 to 7, or is cut short.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(os.fspath(path), "MATLAB file") from error
    except OSError as error:
        raise DataError(
            f"MATLAB file '{os.fspath(path)}' cannot be read: {error.strerror or error}"
        ) from error
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or data[:4] == _HDF5:
        raise DataError(
            f"'{os.fspath(path)}' is no MATLAB file of version 5 to 7\n  Fix: in MATLAB, save(name, 'boxes', '-v7')"
        )
    try:
        found = _Reader(data, order, _HEAD).variables()
    except (struct.error, zlib.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise DataError(f"MATLAB file '{os.fspath(path)}' is broken or cut short: {error}") from error
    return {name: value for name, value in found.items() if value is not None}


class _Reader:
    """Elements of a stretch of bytes, one after the other."""

    def __init__(self, data: bytes, order: str, at: int = 0):
        self.data, self.order, self.at = data, order, at

    def variables(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.at < len(self.data):
            kind, body = self.element()
            if kind == _COMPRESSED:
                found |= _Reader(zlib.decompress(body), self.order).variables()
            elif kind == _MATRIX:
                name, value = _Reader(body, self.order).matrix()
                found[name] = value
        return found

    def element(self) -> tuple[int, bytes]:
        """The type and the bytes of the next element, which ends at a multiple of 8 unless it is compressed."""
        kind, size = struct.unpack_from(self.order + "II", self.data, self.at)
        if kind >> 16:  # a small one: its size stands above its type, and its bytes in the same 8
            kind, size = kind & 0xFFFF, kind >> 16
            start, self.at = self.at + 4, self.at + 8
        else:
            start = self.at + 8
            self.at = start + size + (0 if kind == _COMPRESSED else -size % 8)
        body = self.data[start : start + size]
        if len(body) < size:
            raise ValueError(f"{size} bytes expected, {len(body)} are left")
        return kind, body

    def numbers(self) -> np.ndarray:
        kind, body = self.element()
        return np.frombuffer(body, self.order + _STORED[kind])

    def matrix(self) -> tuple[str, Any]:
        """The name of a variable and its value; None for a kind that is not read."""
        if not self.data:
            return "", np.empty((0, 0))  # how an empty cell may be written
        flags = int(self.numbers()[0])
        kind = flags & 0xFF
        shape = self.numbers().tolist()
        name = self.element()[1].decode("latin1")
        if kind == _CELL:
            return name, self._cell(shape)
        if kind == _CHAR:
            stored, body = self.element()
            return name, body.decode("utf-8") if stored == 16 else "".join(
                map(chr, np.frombuffer(body, self.order + _STORED[stored]))
            )
        if kind not in _NUMBERS or flags & _COMPLEX:
            return name, None
        return name, self.numbers().astype(_NUMBERS[kind]).reshape(shape, order="F")

    def _cell(self, shape: list[int]) -> np.ndarray:
        cells = np.empty(int(np.prod(shape)), object)
        for number in range(len(cells)):
            cells[number] = _Reader(self.element()[1], self.order).matrix()[1]
        return cells.reshape(shape, order="F")
