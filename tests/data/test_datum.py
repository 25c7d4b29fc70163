"""Datum records: the same bytes as protobuf, damage is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffelite.data.datum import Datum, Layout
from caffelite.errors import DataError
from caffelite.prototxt import schema

MNIST_LIKE = Datum(1, 2, 3, bytes(range(6)), 7)
FLOATS = Datum(2, 1, 1, None, 3, np.array([0.5, -2], np.float32))


def test_the_bytes_of_a_small_record():
    assert MNIST_LIKE.encode() == b'\x08\x01\x10\x02\x18\x03"\x06\x00\x01\x02\x03\x04\x05(\x07'


@pytest.mark.parametrize("name", ["raw", "encoded", "gray", "resized"])
def test_caffes_records_read_and_written_are_the_same_bytes(golden, name):
    for _, record in golden.records(name):
        assert Datum.decode(record).encode() == record
        assert Datum.decode(memoryview(record)).encode() == record


@given(
    st.builds(
        Datum,
        *[st.none() | st.integers(-(2**31), 2**31 - 1)] * 3,
        st.none() | st.binary(max_size=300),
        st.none() | st.integers(-(2**31), 2**31 - 1),
        st.none() | st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=9).map(np.float32),
        st.none() | st.booleans(),
        st.none() | st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=9).map(np.float32),
    )
)
def test_any_record_survives_and_equals_protobufs(datum):
    data = datum.encode()
    assert Datum.decode(data).encode() == data
    message = schema.message("Datum").FromString(data)
    assert message.SerializeToString() == data
    assert message.label == (datum.label or 0) and message.data == (datum.data or b"")


def test_floats_packed_unpacked_and_mixed():
    unpacked = FLOATS.encode()
    packed = b"\x32\x08" + np.array([0.5, -2], "<f4").tobytes()
    assert Datum.decode(unpacked).float_data.tolist() == [0.5, -2]
    assert Datum.decode(packed).float_data.tolist() == [0.5, -2]
    assert Datum.decode(unpacked + packed).float_data.tolist() == [0.5, -2, 0.5, -2]
    assert FLOATS.array().shape == (2, 1, 1)


def test_labels_packed_unpacked_and_beside_floats():
    tag = b"\x85\xf7\x02"
    unpacked = tag + np.float32(0.5).tobytes() + tag + np.float32(-2).tobytes()
    datum = Datum.decode(unpacked + FLOATS.encode() + Datum(labels=np.array([7])).encode())
    assert (
        datum.labels.tolist() == [0.5, -2, 7] and datum.float_data.tolist() == [0.5, -2] and datum.label == 3
    )


def test_fields_of_forks_are_passed_over():
    strange = b"\x40\x05" + b"\x4a\x02ab" + b"\x55\0\0\0\0" + b"\x59" + b"\0" * 8
    assert Datum.decode(strange + MNIST_LIKE.encode() + strange).encode() == MNIST_LIKE.encode()


@pytest.mark.parametrize("datum", [MNIST_LIKE, FLOATS, Datum(1, 2, 3, b"abc", -1, None, True)])
def test_every_cut_is_noticed_or_gives_fewer_fields(datum):
    data = datum.encode()
    for end in range(len(data)):
        try:
            assert len(Datum.decode(data[:end]).encode()) <= end
        except DataError as error:
            assert "cut short" in str(error) or "broken number" in str(error)


@pytest.mark.parametrize("data", [b"\x0b", b"\x0f\x01", b"\xff" * 12, b"\x32\x03abc", b"\x22\x7f"])
def test_other_bytes_are_refused(data):
    with pytest.raises(DataError):
        Datum.decode(data)


def test_random_bytes_never_raise_anything_else():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        try:
            Datum.decode(rng.bytes(rng.integers(1, 40)))
        except DataError:
            continue


def test_a_record_without_values_or_with_too_few():
    with pytest.raises(DataError, match="neither data nor float_data"):
        Datum(1, 1, 1).array()
    with pytest.raises(DataError, match=r"1 x 2 x 4 values, got 6"):
        Datum(1, 2, 4, bytes(6)).array()
    with pytest.raises(DataError, match="expected channels"):
        Datum(None, 2, 3, bytes(6)).array()


def test_a_stack_of_equal_records_is_what_one_by_one_gives():
    rng = np.random.default_rng(1)
    datums = [Datum(2, 3, 4, rng.bytes(24), int(rng.integers(0, 128))) for _ in range(50)]
    records = [datum.encode() for datum in datums]
    pixels, labels = Layout.of(records[0]).stack(records)
    assert np.array_equal(pixels, [datum.array() for datum in datums])
    assert labels.tolist() == [datum.label for datum in datums]


@pytest.mark.parametrize(
    "odd",
    [
        Datum(2, 3, 4, bytes(24), 128),
        Datum(2, 4, 3, bytes(24), 1),
        Datum(2, 3, 4, bytes(23), 1),
        Datum(2, 3, 4, bytes(24)),
        Datum(2, 3, 4, bytes(24), None, None, True),
        Datum(2, 3, 4, bytes(24), 1, None, False),
    ],
)
def test_a_stack_with_an_odd_record_is_refused(odd):
    usual = Datum(2, 3, 4, bytes(24), 5).encode()
    assert Layout.of(usual).stack([usual, odd.encode(), usual]) is None


def test_records_without_label_stack_with_label_zero():
    record = Datum(1, 2, 2, b"abcd").encode()
    _, labels = Layout.of(record).stack([record] * 3)
    assert labels.tolist() == [0, 0, 0]


@pytest.mark.parametrize("datum", [FLOATS, Datum(1, 1, 1, b"x", 1, None, True), Datum(1, 1, 1, b"x", 128)])
def test_records_that_have_to_be_walked_through(datum):
    assert Layout.of(datum.encode()) is None
