"""The wire format: numbers, fields, runs of equal fields, and damage."""

from __future__ import annotations

import io

import numpy as np
import pytest

from caffelite.errors import WeightsError
from caffelite.weights import wire
from caffelite.weights.wire import Field, Reader


def reader(data: bytes) -> Reader:
    return Reader(io.BytesIO(data), "file")


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, b"\0"), (1, b"\1"), (300, b"\xac\x02"), (-1, b"\xff" * 9 + b"\1"), (2**31, b"\x80\x80\x80\x80\x08")],
)
def test_numbers(value, encoded):
    assert wire.varint(value) == encoded
    (field,) = reader(b"\x08" + encoded).fields()
    assert wire.signed(field.value) == value


def test_written_fields_have_protobufs_bytes():
    assert wire.integer(1, 150) == b"\x08\x96\x01"
    assert wire.string(2, "testing") == b"\x12\x07testing"
    assert wire.header(100, 3) == b"\xa2\x06\x03"


def test_fields_come_with_their_places():
    data = wire.integer(1, 7) + wire.string(100, b"abc")
    assert list(reader(data).fields()) == [Field(1, wire.VARINT, 1, 2, 7), Field(100, wire.BYTES, 5, 8)]


def test_fields_beyond_the_window():
    data = wire.string(1, b"x" * 20_000) + wire.string(2, "end")
    source = reader(data)
    first, last = source.fields()
    assert source.text(last) == "end"
    assert source.text(first) == "x" * 20_000


def test_a_run_of_fixed_size_fields_comes_as_one():
    values = np.arange(600_000, dtype="<f4")
    rows = np.empty((len(values), 5), np.uint8)
    rows[:, 0] = 5 << 3 | wire.FIXED32
    rows[:, 1:] = values.view(np.uint8).reshape(-1, 4)
    source = reader(rows.tobytes() + b"\x35\0\0\0\0")
    run, other = source.fields()
    assert (run.number, run.value, run.stride) == (5, len(values), 5)
    assert (other.number, other.value) == (6, 1)
    out = np.empty(len(values), np.float32)
    source.floats(run, "<f4", out)
    np.testing.assert_array_equal(out, values)


def test_text_that_is_not_utf8_stays_distinct():
    source = reader(wire.string(1, b"\xb2\xe3"))
    assert source.text(next(source.fields())) == r"\xb2\xe3"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x00\x00", "at byte 0: expected a field number"),
        (b"\x0b", "at byte 0: expected wire type 0, 1, 2 or 5, got 3"),
        (b"\x08\x01\x08", "at byte 3: a number is cut short at byte 3"),
        (b"\x08" + b"\xff" * 11, "a number is longer than 10 bytes"),
        (b"\x0a\x05abc", "at byte 0: cut short: this field goes on to byte 7, the file ends at byte 5"),
        (b"\x0d\0\0", "at byte 0: cut short: this field goes on to byte 5, the file ends at byte 3"),
    ],
)
def test_damage_is_named_by_byte(data, message):
    with pytest.raises(WeightsError, match="'file' is damaged") as caught:
        list(reader(data).fields())
    assert message in str(caught.value)
    assert "Fix: download or copy the file again" in str(caught.value)


def test_a_field_longer_than_what_holds_it():
    source = reader(wire.string(1, b"\x0a\x04abcd"))
    source.where = "layer 'conv1'"
    with pytest.raises(
        WeightsError, match=r"at byte 2 \(layer 'conv1'\): this field goes on to byte 8, past"
    ):
        list(source.fields(2, 6))


def test_a_file_that_shrinks_while_it_is_read():
    file = io.BytesIO(wire.string(1, b"x" * 20_000))
    source = Reader(file, "file")
    (field,) = source.fields()
    file.truncate(100)
    with pytest.raises(WeightsError, match="became shorter"):
        source.read(field.start, field.end)
