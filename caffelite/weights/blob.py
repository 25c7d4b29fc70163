"""BlobProto, the array of Caffe's files, in every form that Caffe and its forks have written it.

Forms read: packed floats in one or several pieces, unpacked floats, mixtures of these, doubles, NVCaffe's raw
memory of half, single or double precision; shapes as ``shape`` or as the older num, channels, height, width.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from caffelite.errors import WeightsError
from caffelite.types import Shape, shape_text
from caffelite.weights import kinds, wire
from caffelite.weights.wire import Field, Reader

Blob = npt.NDArray[np.float32]
Buffer = bytes | memoryview

_MAX_AXES = 32
MAX_COUNT = 2**31 - 1
_LEGACY_AXES = (1, 2, 3, 4)
_DATA, _DIFF, _SHAPE, _DOUBLE_DATA, _DOUBLE_DIFF = 5, 6, 7, 8, 9
_RAW_DATA_TYPE, _RAW_DIFF_TYPE, _RAW_DATA, _RAW_DIFF = 10, 11, 12, 13
# What to take, best first. Doubles win over floats in BVLC Caffe; NVCaffe writes raw memory alone.
_DATA_FIELDS = (_RAW_DATA, _DOUBLE_DATA, _DATA)
_DIFF_FIELDS = (_RAW_DIFF, _DOUBLE_DIFF, _DIFF)
# NVCaffe's enum Type.
_RAW_DTYPES = {0: "<f8", 1: "<f4", 2: "<f2", 3: "<i4", 4: "<u4"}
_PACKED_DTYPES = {_DATA: "<f4", _DIFF: "<f4", _DOUBLE_DATA: "<f8", _DOUBLE_DIFF: "<f8"}


class DecodedBlob(NamedTuple):
    """``legacy``: the shape came as num, channels, height and width; compare by :func:`shapes_match`."""

    data: Blob
    legacy: bool
    diff: Blob | None = None


@dataclass
class _Parts:
    """Where the pieces of one BlobProto lie in the file."""

    shape: list[int] = field(default_factory=list)
    legacy: dict[int, int] = field(default_factory=dict)
    pieces: dict[int, list[Field]] = field(default_factory=dict)
    raw_types: dict[int, int] = field(default_factory=dict)

    def dims(self) -> Shape:
        if self.legacy:
            return tuple(self.legacy.get(number, 0) for number in _LEGACY_AXES)
        return tuple(self.shape)


def decode_blob(
    reader: Reader, start: int, end: int, what: str = "blob", *, diff: bool = False
) -> DecodedBlob:
    """Reads the BlobProto in bytes ``start`` to ``end``.

    Doubles are preferred to floats where a file holds both, and rounded to float32. ``what`` names the blob
    in messages; ``diff`` asks for the gradient too, if the file has one.

    Raises:
        WeightsError: damaged bytes, a negative dimension, or a shape that does not fit the count of numbers.
    """
    parts = _find(reader, start, end)
    shape = parts.dims()
    _check_shape(reader, shape, what)
    data = _array(reader, parts, shape, _DATA_FIELDS, what)
    gradient = None
    if diff and not parts.pieces.keys().isdisjoint(_DIFF_FIELDS):
        gradient = _array(reader, parts, shape, _DIFF_FIELDS, f"the diff of {what}")
    return DecodedBlob(data, bool(parts.legacy), gradient)


def read_blob_file(path: str | os.PathLike[str]) -> Blob:
    """The array of a ``.binaryproto`` file (a mean image: 1 x C x H x W).

    Raises:
        MissingFileError: there is no such file.
        WeightsError: the file is of another kind, damaged, or cut short.
    """
    kinds.require(path, kinds.BLOB)
    with kinds.open_for_reading(path, "blob file") as file:
        reader = Reader(file, path)
        return decode_blob(reader, 0, reader.size, "its blob").data


def encode_blob(data: npt.NDArray[np.floating], diff: npt.NDArray[np.floating] | None = None) -> list[Buffer]:
    """The BlobProto of an array: shape, packed data and packed diff, as buffers to write one after the other.

    float32 arrays in C order are not copied: the buffers are views of them.
    """
    dims = b"".join(wire.varint(dim) for dim in data.shape)
    buffers: list[Buffer] = []
    for number, array in ((_DATA, data), (_DIFF, diff)):
        if array is not None:
            flat = np.ascontiguousarray(array, "<f4").reshape(-1).view(np.uint8).data
            buffers += [wire.header(number, len(flat)), flat]
    shape = wire.string(1, dims) if data.ndim else b""
    return [*buffers, wire.string(_SHAPE, shape)]


def shapes_match(file_shape: Shape, legacy: bool, net_shape: Shape) -> bool:
    """Whether a blob of a file fits a parameter of a net, as BVLC Caffe decides it (blob.cpp, ShapeEquals).

    A shape from num, channels, height and width equals the net's shape filled up to four axes with ones in
    front: 1 x 1 x 500 x 800 fits 500 x 800. Any other must be equal axis by axis; an equal count is not
    enough.
    """
    if legacy and len(net_shape) <= len(_LEGACY_AXES):
        net_shape = (1,) * (len(_LEGACY_AXES) - len(net_shape)) + tuple(net_shape)
    return tuple(file_shape) == tuple(net_shape)


def _find(reader: Reader, start: int, end: int) -> _Parts:
    parts = _Parts()
    for item in reader.fields(start, end):
        number, wire_type = item.number, item.wire_type
        if wire_type == wire.VARINT:
            if number in _LEGACY_AXES:
                parts.legacy[number] = wire.signed(item.value)
            elif number in (_RAW_DATA_TYPE, _RAW_DIFF_TYPE):
                parts.raw_types[number] = item.value
        elif number == _SHAPE and wire_type == wire.BYTES:
            parts.shape += _dims(reader, item)
        elif number in (_RAW_DATA, _RAW_DIFF) and wire_type == wire.BYTES:
            parts.pieces[number] = [item]
        elif number in _PACKED_DTYPES and wire_type in (wire.BYTES, _fixed_type(number)):
            parts.pieces.setdefault(number, []).append(item)
    return parts


def _check_shape(reader: Reader, shape: Shape, what: str) -> None:
    """Caffe's own limits (blob.cpp, Reshape)."""
    if len(shape) > _MAX_AXES:
        raise _misfit(reader, f"{what} to have at most {_MAX_AXES} axes", len(shape))
    if any(dim < 0 for dim in shape):
        raise _misfit(reader, f"{what} to have dimensions >= 0", shape)
    if math.prod(max(dim, 1) for dim in shape) > MAX_COUNT:
        raise _misfit(reader, f"{what} to hold at most {MAX_COUNT} numbers", f"shape {shape}")


def _misfit(reader: Reader, expected: str, got: object) -> WeightsError:
    return WeightsError(f"'{reader.path}': expected {expected}, got {got}")


def _fixed_type(number: int) -> int:
    return wire.FIXED32 if number in (_DATA, _DIFF) else wire.FIXED64


def _dims(reader: Reader, shape: Field) -> list[int]:
    """The dims of a BlobShape, packed or one by one."""
    dims = []
    for item in reader.fields(shape.start, shape.end):
        if item.number != 1:
            continue
        if item.wire_type == wire.VARINT:
            dims.append(wire.signed(item.value))
        elif item.wire_type == wire.BYTES:
            dims += reader.varints(item)
    return dims


def _array(reader: Reader, parts: _Parts, shape: Shape, numbers: Sequence[int], what: str) -> Blob:
    """Fills one array from the first of the fields ``numbers`` that holds anything."""
    number = next((n for n in numbers if any(p.end > p.start for p in parts.pieces.get(n, ()))), numbers[-1])
    pieces = parts.pieces.get(number, [])
    dtype = _dtype(reader, parts, number, what)
    counts = [_items(reader, piece, np.dtype(dtype).itemsize, what) for piece in pieces]
    if sum(counts) != math.prod(shape):
        expected = f"{what} with shape {shape_text(shape)} to hold {math.prod(shape)} numbers"
        raise _misfit(reader, expected, sum(counts))
    out = np.empty(math.prod(shape), np.float32)
    position = 0
    for piece, items in zip(pieces, counts, strict=True):
        reader.floats(piece, dtype, out[position : position + items])
        position += items
    return out.reshape(shape)


def _dtype(reader: Reader, parts: _Parts, number: int, what: str) -> str:
    if number in _PACKED_DTYPES:
        return _PACKED_DTYPES[number]
    code = parts.raw_types.get(_RAW_DATA_TYPE if number == _RAW_DATA else _RAW_DIFF_TYPE, 0)
    if code not in _RAW_DTYPES:
        raise _misfit(reader, f"{what} to have a raw type of {sorted(_RAW_DTYPES)}", code)
    return _RAW_DTYPES[code]


def _items(reader: Reader, piece: Field, item_bytes: int, what: str) -> int:
    if piece.stride:
        return piece.value
    length = piece.end - piece.start
    if length % item_bytes:
        raise _misfit(reader, f"{what} to be a multiple of {item_bytes} bytes long", f"{length} bytes")
    return length // item_bytes
