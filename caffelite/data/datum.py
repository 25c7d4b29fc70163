"""Datum, the record of Caffe's image databases: reading and writing its bytes without the protobuf library.

Message ``Datum`` of caffe.proto: channels 1, height 2, width 3, data 4, label 5, float_data 6, encoded 7; labels 6000 is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from caffelite.data.skipped import BadRecordError
from caffelite.types import Shape
from caffelite.weights.wire import BYTES, FIXED32, FIXED64, VARINT, header, integer, signed, varint

Buffer = bytes | memoryview

_CHANNELS, _HEIGHT, _WIDTH, _DATA, _LABEL, _FLOAT_DATA, _ENCODED = range(1, 8)
_LABELS = 6000
_INTEGERS = {_CHANNELS: "channels", _HEIGHT: "height", _WIDTH: "width", _LABEL: "label", _ENCODED: "encoded"}
_FLOATS = {_FLOAT_DATA: "float_data", _LABELS: "labels"}
_FIXED_BYTES = {FIXED32: 4, FIXED64: 8}


@dataclass(eq=False)
class Datum:
    """An image of shape (channels, height, width) and its label; None stands for a field that is not set.

    ``data``: uint8 pixels in C, H, W order, or a whole image file if ``encoded``. ``float_data``: float32
    features, used where there are no pixels. ``labels``: a vector of float32 instead of one integer, an addition of
    ours that Caffe passes over. Records of forks keep their other fields to themselves.
    """

    channels: int | None = None
    height: int | None = None
    width: int | None = None
    data: Buffer | None = None
    label: int | None = None
    float_data: np.ndarray | None = None
    encoded: bool | None = None
    labels: np.ndarray | None = None

    @classmethod
    def decode(cls, buffer: Buffer) -> Datum:
        """The record in these bytes; ``data`` is a slice of them.

        Raises:
            BadRecordError: the bytes are no Datum.
        """
        datum, floats = cls(), dict[int, list[np.ndarray]]()
        position, end = 0, len(buffer)
        while position < end:
            tag, position = _varint(buffer, position)
            number, wire_type = tag >> 3, tag & 7
            if wire_type == VARINT:
                value, position = _varint(buffer, position)
                if number in _INTEGERS:
                    setattr(datum, _INTEGERS[number], signed(value))
            elif wire_type == BYTES:
                length, position = _varint(buffer, position)
                payload = buffer[position : position + length]
                position += length
                if number == _DATA:
                    datum.data = payload
                elif number in _FLOATS:
                    floats.setdefault(number, []).append(_packed(payload))
            elif wire_type == FIXED32 and number in _FLOATS:
                size = len(varint(tag))
                run = _run(buffer, position - size, varint(tag))
                floats.setdefault(number, []).append(run)
                position += (4 + size) * len(run) - size
            elif wire_type in _FIXED_BYTES:
                position += _FIXED_BYTES[wire_type]
            else:
                raise BadRecordError(f"not a Datum: wire type {wire_type} at byte {position}")
        if position > end:
            raise BadRecordError(f"cut short: its last field goes on to byte {position} of {end}")
        for number, runs in floats.items():
            setattr(datum, _FLOATS[number], np.concatenate(runs))
        if datum.encoded is not None:
            datum.encoded = bool(datum.encoded)
        return datum

    def encode(self) -> bytes:
        """The bytes that protobuf writes for this record."""
        parts: list[Buffer] = [
            _integer(_CHANNELS, self.channels),
            _integer(_HEIGHT, self.height),
            _integer(_WIDTH, self.width),
        ]
        if self.data is not None:
            parts += [header(_DATA, len(self.data)), self.data]
        parts.append(_integer(_LABEL, self.label))
        if self.float_data is not None:
            parts.append(_unpacked(self.float_data))
        parts.append(_integer(_ENCODED, self.encoded))
        if self.labels is not None:
            values = np.ascontiguousarray(self.labels, "<f4").tobytes()
            parts += [header(_LABELS, len(values)), values]
        return b"".join(parts)

    @property
    def shape(self) -> Shape:
        """(channels, height, width) as the record says; an encoded image usually says nothing."""
        return (self.channels or 0, self.height or 0, self.width or 0)

    def array(self) -> np.ndarray:
        """Pixels (uint8) or else features (float32), shape (channels, height, width); read-only, no copy.

        Raises:
            BadRecordError: the record holds neither, or not as many as its shape says.
        """
        if self.data:
            values = np.frombuffer(self.data, np.uint8)
        elif self.float_data is not None:
            values = self.float_data
        else:
            raise BadRecordError("the record holds neither data nor float_data")
        if values.size != prod(self.shape) or min(self.shape) < 1:
            C, H, W = self.shape
            raise BadRecordError(
                f"expected channels x height x width = {C} x {H} x {W} values, got {values.size}"
            )
        return values.reshape(self.shape)


@dataclass(frozen=True)
class Layout:
    """Where the pixels lie in records that differ in nothing but pixels and a label below 128.

    MNIST, CIFAR and the like: a batch is then one reshape instead of a walk through each record.
    """

    shape: Shape
    frame: bytes  # such a record with its pixels cut out
    start: int
    end: int
    has_label: bool

    @classmethod
    def of(cls, record: bytes) -> Layout | None:
        """The layout of records like this one; None if they have to be walked through."""
        datum = Datum.decode(record)
        if (
            not datum.data
            or datum.encoded
            or datum.labels is not None
            or datum.encode() != record
            or not 0 <= (datum.label or 0) < 128
        ):
            return None
        size = len(datum.data)
        start = len(Datum(datum.channels, datum.height, datum.width).encode()) + len(header(_DATA, size))
        frame = record[:start] + record[start + size :]
        return cls(datum.array().shape, frame, start, start + size, datum.label is not None)

    def stack(self, records: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray] | None:
        """Pixels uint8 (N, C, H, W) and labels (N,) of the records; None if one has another layout."""
        length = len(self.frame) + self.end - self.start
        if set(map(len, records)) != {length}:
            return None
        rows = np.frombuffer(b"".join(records), np.uint8).reshape(len(records), length)
        frames = np.concatenate([rows[:, : self.start], rows[:, self.end :]], axis=1)
        labels = np.zeros(len(records), np.uint8)
        if self.has_label:
            labels = frames[:, self.start + 1].copy()
            frames[:, self.start + 1] = self.frame[self.start + 1]
        if labels.max() >= 128 or (frames != np.frombuffer(self.frame, np.uint8)).any():
            return None
        return rows[:, self.start : self.end].reshape(len(records), *self.shape), labels


def _varint(buffer: Buffer, position: int) -> tuple[int, int]:
    value = shift = 0
    for byte in buffer[position : position + 10]:
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise BadRecordError(f"not a Datum: broken number before byte {position} of {len(buffer)}")


def _packed(payload: Buffer) -> np.ndarray:
    if len(payload) % 4:
        raise BadRecordError(f"float_data of {len(payload)} bytes is no multiple of 4")
    return np.frombuffer(payload, "<f4")


def _run(buffer: Buffer, start: int, tag: bytes) -> np.ndarray:
    """The unpacked floats that follow each other from the tag at ``start``."""
    size = len(tag) + 4
    rows = np.frombuffer(buffer, np.uint8, (len(buffer) - start) // size * size, start).reshape(-1, size)
    if not len(rows):
        raise BadRecordError(f"cut short: a float goes on to byte {start + size} of {len(buffer)}")
    others = np.flatnonzero((rows[:, :-4] != np.frombuffer(tag, np.uint8)).any(axis=1))
    rows = rows[: others[0]] if len(others) else rows
    return np.ascontiguousarray(rows[:, -4:]).view("<f4")[:, 0]


def _unpacked(values: np.ndarray) -> bytes:
    rows = np.empty((values.size, 5), np.uint8)
    rows[:, 0] = _FLOAT_DATA << 3 | FIXED32
    rows[:, 1:] = np.ascontiguousarray(values, "<f4").reshape(-1, 1).view(np.uint8)
    return rows.tobytes()


def _integer(number: int, value: int | None) -> bytes:
    return b"" if value is None else integer(number, value)
