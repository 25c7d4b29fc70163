"""BlobProto in every form that occurs in files; the bytes are put together by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest

from caffelite.errors import WeightsError
from caffelite.weights import read_blob_file, shapes_match, wire
from caffelite.weights.blob import decode_blob, encode_blob
from caffelite.weights.wire import Reader

VALUES = np.array([[1.5, -2.0, 3.25], [0.0, 1e-3, 7.0]], np.float32)


def decode(data: bytes, **options):
    return decode_blob(Reader(io.BytesIO(data), "file"), 0, len(data), "blob 0 of layer 'ip'", **options)


def shape(*dims: int) -> bytes:
    return wire.string(7, wire.string(1, b"".join(map(wire.varint, dims))))


def legacy(*dims: int) -> bytes:
    return b"".join(wire.integer(number, dim) for number, dim in enumerate(dims, 1))


def packed(values, number: int = 5, dtype: str = "<f4") -> bytes:
    return wire.string(number, np.asarray(values, dtype).tobytes())


def unpacked(values, number: int = 5, dtype: str = "<f4") -> bytes:
    wire_type = wire.FIXED32 if dtype == "<f4" else wire.FIXED64
    tag = wire.varint(number << 3 | wire_type)
    return b"".join(tag + value.tobytes() for value in np.asarray(values, dtype).ravel())


FLAT = VALUES.ravel()
FORMS = {
    "packed": shape(2, 3) + packed(FLAT),
    "packed, shape last": packed(FLAT) + shape(2, 3),
    "packed in pieces": packed(FLAT[:1]) + shape(2, 3) + packed(FLAT[1:4]) + packed([]) + packed(FLAT[4:]),
    "unpacked": unpacked(FLAT) + shape(2, 3),
    "mixed": unpacked(FLAT[:2]) + packed(FLAT[2:4]) + unpacked(FLAT[4:]) + shape(2, 3),
    "double": shape(2, 3) + packed(FLAT, 8, "<f8"),
    "double, unpacked": unpacked(FLAT, 8, "<f8") + shape(2, 3),
    "double before float": shape(2, 3) + packed(FLAT * 2) + packed(FLAT, 8, "<f8"),
    "float where double is empty": shape(2, 3) + packed([], 8) + packed(FLAT),
    "shape with unpacked dims": wire.string(7, wire.integer(1, 2) + wire.integer(1, 3)) + packed(FLAT),
    "raw double": shape(2, 3) + wire.integer(10, 0) + packed(FLAT, 12, "<f8"),
    "raw float": shape(2, 3) + wire.integer(10, 1) + packed(FLAT, 12),
    "raw half": shape(2, 3) + wire.integer(10, 2) + packed(FLAT, 12, "<f2"),
    "unknown fields around": wire.string(99, "?") + shape(2, 3) + packed(FLAT) + wire.integer(77, 5),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_array(form):
    blob = decode(FORMS[form])
    tolerance = 1e-6 if "half" in form else 0
    np.testing.assert_allclose(blob.data, VALUES, rtol=0, atol=tolerance)
    assert blob.data.dtype == np.float32 and blob.data.flags.c_contiguous and blob.data.flags.writeable
    assert not blob.legacy


def test_legacy_shapes_have_four_axes_and_win():
    blob = decode(legacy(1, 1, 2, 3) + shape(6) + packed(FLAT))
    assert blob.legacy
    assert blob.data.shape == (1, 1, 2, 3)


def test_a_blob_without_shape_is_a_scalar():
    assert decode(packed([4.0])).data == np.float32(4.0)


def test_a_blob_of_no_numbers():
    assert decode(shape(0, 3)).data.shape == (0, 3)


def test_large_conversions_go_in_chunks():
    values = np.arange(700_000, dtype=np.float64)
    np.testing.assert_array_equal(decode(shape(700_000) + packed(values, 8, "<f8")).data, values)


def test_diffs_only_on_request():
    data = shape(2, 3) + packed(FLAT) + packed(-FLAT, 6)
    assert decode(data).diff is None
    np.testing.assert_array_equal(decode(data, diff=True).diff, -VALUES)
    assert decode(FORMS["packed"], diff=True).diff is None
    raw = shape(2, 3) + wire.integer(11, 2) + packed(FLAT, 13, "<f2") + packed(FLAT)
    np.testing.assert_allclose(decode(raw, diff=True).diff, VALUES, atol=1e-6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            shape(2, 3) + packed(FLAT[:5]),
            "expected blob 0 of layer 'ip' with shape 2 3 (6) to hold 6 numbers, got 5",
        ),
        (shape(2, 3), "to hold 6 numbers, got 0"),
        (legacy(2, 3) + packed(FLAT), "with shape 2 3 0 0 (0) to hold 0 numbers, got 6"),
        (shape(-2, -3) + packed(FLAT), "to have dimensions >= 0, got (-2, -3)"),
        (shape(2**30, 2**30), "to hold at most 2147483647 numbers"),
        (shape(0, 2**62), "to hold at most 2147483647 numbers"),
        (shape(*[1] * 33) + packed([1.0]), "to have at most 32 axes, got 33"),
        (shape(1) + wire.string(5, b"abc"), "to be a multiple of 4 bytes long, got 3 bytes"),
        (
            shape(1) + wire.integer(10, 9) + wire.string(12, b"abcd"),
            "to have a raw type of [0, 1, 2, 3, 4], got 9",
        ),
        (shape(2, 3) + packed(FLAT) + packed(FLAT[:1], 6), "expected the diff of blob 0 of layer 'ip'"),
    ],
)
def test_misfits_are_errors(data, message):
    with pytest.raises(WeightsError, match="'file': expected") as caught:
        decode(data, diff=True)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "array", [VALUES, np.float32(3), np.empty((0, 2), np.float32), VALUES.T, VALUES.astype(np.float64)]
)
def test_round_trip(array):
    array = np.asarray(array)
    data = b"".join(map(bytes, encode_blob(array, -array)))
    blob = decode(data, diff=True)
    np.testing.assert_array_equal(blob.data, array)
    np.testing.assert_array_equal(blob.diff, -array)
    assert blob.data.shape == array.shape


def test_encoding_copies_no_float32_array():
    _, data, _ = encode_blob(VALUES)
    assert np.shares_memory(np.frombuffer(data, np.uint8), VALUES)


def test_a_mean_image(tmp_path):
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(legacy(1, 1, 2, 3) + packed(FLAT))
    np.testing.assert_array_equal(read_blob_file(path), VALUES[None, None])


def test_a_caffemodel_as_mean_image(tmp_path):
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(wire.string(1, "net") + wire.string(100, wire.string(1, "conv")))
    with pytest.raises(WeightsError, match=r"expected a single blob .* got a Caffe model"):
        read_blob_file(path)


@pytest.mark.parametrize(
    ("file", "is_legacy", "net", "fits"),
    [
        ((2, 3), False, (2, 3), True),
        ((2, 3), False, (3, 2), False),
        ((1, 1, 2, 3), False, (2, 3), False),
        ((1, 1, 2, 3), True, (2, 3), True),
        ((1, 1, 1, 6), True, (6,), True),
        ((1, 1, 1, 1), True, (), True),
        ((1, 1, 1, 6), True, (2, 3), False),
        ((2, 1, 1, 3), True, (2, 3), False),
        ((4, 3, 2, 1), True, (4, 3, 2, 1), True),
        ((4, 3, 2, 1), True, (1, 4, 3, 2, 1), False),
    ],
)
def test_which_shapes_match(file, is_legacy, net, fits):
    assert shapes_match(file, is_legacy, net) is fits
