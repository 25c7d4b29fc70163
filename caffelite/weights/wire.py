"""The protobuf wire format, as much of it as weight files need, without the protobuf library.

A message of 550 MB parsed by protobuf peaks at three times its size. Here only the tags are looked at,
through a window of a few kilobytes; the numbers are read from the file straight into the arrays that keep
them. The file is read, not mapped: a mapped file that shrinks while it is read kills the process.

Reference: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BufferedIOBase, RawIOBase
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from caffelite.errors import WeightsError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_WINDOW_BYTES = 8192
_CHUNK_ITEMS = 1 << 18
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}

Array = npt.NDArray[Any]


class Field(NamedTuple):
    """One field of a message, or a run of equal-tagged fixed-size fields that follow each other.

    ``start`` and ``end`` enclose the payload. For ``VARINT`` the number is in ``value``. For fixed sizes they
    enclose the whole run, tags included: ``value`` items, ``stride`` bytes apart, each in the last bytes of
    its stride.
    """

    number: int
    wire_type: int
    start: int
    end: int
    value: int = 0
    stride: int = 0


class Reader:
    """Random access to the fields of a file.

    ``where`` names the part being read ("layer 3, 'conv1'") and is quoted when that part turns out to be
    damaged.
    """

    def __init__(self, file: RawIOBase | BufferedIOBase, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        self.size = file.seek(0, os.SEEK_END)
        self.where = ""
        self._file = file
        self._window = b""
        self._window_start = 0

    def fields(self, start: int = 0, end: int | None = None) -> Iterator[Field]:
        """The fields of the message in bytes ``start`` to ``end`` (default: the whole file), in file order.

        Raises:
            WeightsError: the bytes are no protobuf message, or the file is too short for what it announces.
        """
        position, end = start, self.size if end is None else end
        while position < end:
            field = self._field(position, end)
            yield field
            position = field.end

    def read(self, start: int, end: int) -> bytes:
        """A copy of the bytes ``start`` to ``end``; for short things."""
        data = bytearray(end - start)
        self._read_into(start, memoryview(data))
        return bytes(data)

    def varints(self, field: Field) -> list[int]:
        """The signed numbers of a packed integer field."""
        numbers, position = [], field.start
        while position < field.end:
            value, position = self._varint(position, field.end)
            numbers.append(signed(value))
        return numbers

    def text(self, field: Field) -> str:
        """The string in a field; bytes that are not UTF-8 are shown as ``\\xNN``, so that distinct names stay
        so.
        """
        return self.read(field.start, field.end).decode("utf-8", "backslashreplace")

    def floats(self, field: Field, dtype: str, out: Array) -> None:
        """Reads a packed field, or a run of fixed-size ones, of little-endian ``dtype`` into the flat array
        ``out``.

        A packed field of ``out``'s own type goes into place with no copy in between; others by small chunks.
        """
        item = np.dtype(dtype)
        stride = field.stride or item.itemsize
        if stride == item.itemsize and item == out.dtype:
            self._read_into(field.start, out.view(np.uint8).data)
            return
        for first in range(0, len(out), _CHUNK_ITEMS):
            part = out[first : first + _CHUNK_ITEMS]
            start = field.start + first * stride
            rows = np.frombuffer(self.read(start, start + len(part) * stride), np.uint8).reshape(-1, stride)
            part[:] = np.ascontiguousarray(rows[:, stride - item.itemsize :]).view(item)[:, 0]

    def fail(self, position: int, what: str) -> WeightsError:
        """The error to raise for damage at a byte; says which part of the file that is."""
        where = f" ({self.where})" if self.where else ""
        return WeightsError(
            f"'{self.path}' is damaged at byte {position}{where}: {what}\n"
            "  Fix: download or copy the file again, and compare its size and checksum with the source's"
        )

    def _field(self, position: int, end: int) -> Field:
        key, start = self._varint(position, end)
        number, wire_type = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise self.fail(position, f"expected a field number from 1 to 2^29 - 1, got {number}")
        if wire_type == VARINT:
            value, after = self._varint(start, end)
            return Field(number, wire_type, start, after, value)
        if wire_type == BYTES:
            length, start = self._varint(start, end)
            self._check_room(position, start + length, end)
            return Field(number, wire_type, start, start + length)
        if wire_type not in _FIXED_BYTES:
            raise self.fail(position, f"expected wire type 0, 1, 2 or 5, got {wire_type}")
        stride = start - position + _FIXED_BYTES[wire_type]
        self._check_room(position, position + stride, end)
        items = self._run_length(position, end, stride, start - position)
        return Field(number, wire_type, position, position + items * stride, items, stride)

    def _run_length(self, start: int, end: int, stride: int, tag_bytes: int) -> int:
        """How many fields with the tag at ``start`` follow each other; unpacked floats come in millions."""
        items, tag = (end - start) // stride, self.read(start, start + tag_bytes)
        if items > 1 and self._peek(start + stride, tag_bytes) != tag:
            return 1
        for first in range(0, items, _CHUNK_ITEMS):
            here = min(_CHUNK_ITEMS, items - first)
            data = self.read(start + first * stride, start + (first + here) * stride)
            rows = np.frombuffer(data, np.uint8).reshape(here, stride)[:, :tag_bytes]
            differs = (rows != np.frombuffer(tag, np.uint8)).any(axis=1)
            if differs.any():
                return first + int(differs.argmax())
        return items

    def _check_room(self, position: int, needed: int, end: int) -> None:
        if needed <= end:
            return
        if needed > self.size:
            what = f"cut short: this field goes on to byte {needed}, the file ends at byte {self.size}"
        else:
            what = f"this field goes on to byte {needed}, past the end of what holds it at byte {end}"
        raise self.fail(position, what)

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """An unsigned 64-bit number and the position after it."""
        data = self._peek(position, min(10, end - position))
        value = 0
        for index, byte in enumerate(data):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, position + index + 1
        if len(data) < 10:
            raise self.fail(position, f"a number is cut short at byte {end}")
        raise self.fail(position, "a number is longer than 10 bytes")

    def _peek(self, position: int, length: int) -> bytes:
        offset = position - self._window_start
        if offset < 0 or offset + length > len(self._window):
            wanted = min(max(_WINDOW_BYTES, length), self.size - position)
            self._window, self._window_start, offset = self.read(position, position + wanted), position, 0
        return self._window[offset : offset + length]

    def _read_into(self, start: int, view: memoryview) -> None:
        self._file.seek(start)
        done = 0
        while done < len(view):
            got = self._file.readinto(view[done:])
            if not got:
                raise self.fail(start + done, "the file became shorter while it was read")
            done += got


def signed(value: int) -> int:
    """A varint as the int32 or int64 it stands for."""
    return value - (1 << 64) if value >> 63 else value


def varint(value: int) -> bytes:
    """The wire form of an integer; negative ones take 10 bytes, as protobuf writes them."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(number: int, value: int) -> bytes:
    """A varint field."""
    return varint(number << 3 | VARINT) + varint(value)


def header(number: int, length: int) -> bytes:
    """What stands before the ``length`` bytes of a string, message or packed field."""
    return varint(number << 3 | BYTES) + varint(length)


def string(number: int, value: str | bytes) -> bytes:
    """A string or bytes field."""
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return header(number, len(data)) + data
