"""caffe.io. The numbers of resized images come from scikit-image 0.26 and SciPy 1.17."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from caffelite import io
from caffelite.data.datum import Datum
from caffelite.errors import DataError, MissingFileError, UsageError
from caffelite.proto import caffe_pb2

IMAGE = np.arange(12, dtype=np.float32).reshape(3, 4, 1) ** 1.5

# -- messages ------------------------------------------------------------------------------------------------


def test_blobproto_there_and_back() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 5))
    blob = io.array_to_blobproto(x, diff=-x)
    assert list(blob.shape.dim) == [2, 3, 5]
    np.testing.assert_array_equal(io.blobproto_to_array(blob), x.astype(np.float32))
    diff = io.blobproto_to_array(blob, return_diff=True)
    assert diff.dtype == np.float64
    np.testing.assert_array_equal(diff, -x.astype(np.float32))


def test_blobproto_of_the_old_shape() -> None:
    blob = caffe_pb2.BlobProto(num=1, channels=2, height=1, width=3, data=range(6))
    assert io.blobproto_to_array(blob).tolist() == [[[[0, 1, 2]], [[3, 4, 5]]]]
    blob = caffe_pb2.BlobProto(channels=3, data=[])  # pycaffe takes the rest for 0
    assert io.blobproto_to_array(blob).shape == (0, 3, 0, 0)


def test_blobproto_of_doubles() -> None:
    assert io.blobproto_to_array(caffe_pb2.BlobProto(double_data=[0.1])) == 0.1


def test_blobproto_without_shape() -> None:
    assert io.blobproto_to_array(caffe_pb2.BlobProto(data=[123])) == 123
    with pytest.raises(ValueError, match=r"BlobProto: expected 1 values for shape \(\), got 100"):
        io.blobproto_to_array(caffe_pb2.BlobProto(data=range(100)))


def test_blobproto_vector() -> None:
    arrays = [np.arange(6.0).reshape(1, 2, 3), np.float32([7])]
    data = io.arraylist_to_blobprotovector_str(arrays)
    assert [a.tolist() for a in io.blobprotovector_str_to_arraylist(data)] == [[[[0, 1, 2], [3, 4, 5]]], [7]]
    with pytest.raises(DataError, match="binary BlobProtoVector"):
        io.blobprotovector_str_to_arraylist(b"\x0a\xff")


def test_datum_of_bytes() -> None:
    x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    datum = io.array_to_datum(x[:, ::-1], label=np.int64(3))
    assert (datum.channels, datum.height, datum.width, datum.label) == (2, 3, 4, 3)
    assert len(datum.data) == 24 and not datum.float_data
    back = io.datum_to_array(datum)
    assert back.dtype == np.uint8 and back.flags.writeable
    np.testing.assert_array_equal(back, x[:, ::-1])


def test_datum_of_floats() -> None:
    datum = io.array_to_datum(np.arange(6).reshape(1, 2, 3))
    assert not datum.HasField("label")
    back = io.datum_to_array(datum)
    assert back.dtype == np.float64 and back.tolist() == [[[0, 1, 2], [3, 4, 5]]]


def test_datum_of_an_image_file() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    datum = caffe_pb2.Datum(encoded=True, data=cv2.imencode(".png", pixels)[1].tobytes())
    np.testing.assert_array_equal(io.datum_to_array(datum), pixels.transpose(2, 0, 1))


def test_datums_of_other_kinds() -> None:
    record = Datum.decode(io.array_to_datum(np.full((1, 2, 2), 7, np.uint8)).SerializeToString())
    assert io.datum_to_array(record).tolist() == [[[7, 7], [7, 7]]]
    thing = SimpleNamespace(channels=1, height=1, width=2, data=b"", float_data=[1, 2], encoded=False)
    assert io.datum_to_array(thing).tolist() == [[[1, 2]]]


def test_wrong_datums() -> None:
    with pytest.raises(ValueError, match=r"^Incorrect array shape\.") as error:
        io.array_to_datum(np.zeros((2, 2)))
    assert "got (2, 2)" in str(error.value)
    with pytest.raises(ValueError, match=r"Datum: expected 4 values for shape \(1, 2, 2\), got 3"):
        io.datum_to_array(caffe_pb2.Datum(channels=1, height=2, width=2, data=b"123"))


def test_messages_are_reached_through_io() -> None:
    assert io.caffe_pb2.Datum is caffe_pb2.Datum


# -- images --------------------------------------------------------------------------------------------------


def written(folder: Path, pixels: np.ndarray, name: str = "image.png") -> str:
    path = str(folder / name)
    assert cv2.imwrite(path, pixels)
    return path


def test_load_image_is_rgb_in_0_to_1(tmp_path: Path) -> None:
    bgr = np.zeros((2, 3, 3), np.uint8)
    bgr[0, 1] = 51, 102, 255
    image = io.load_image(written(tmp_path, bgr))
    assert image.shape == (2, 3, 3) and image.dtype == np.float32
    np.testing.assert_allclose(image[0, 1], [1, 0.4, 0.2], rtol=1e-7)


def test_load_image_grey(tmp_path: Path) -> None:
    bgr = np.full((2, 3, 3), (51, 102, 255), np.uint8)
    image = io.load_image(written(tmp_path, bgr), color=False)
    assert image.shape == (2, 3, 1)
    np.testing.assert_allclose(image, 0.2125 + 0.4 * 0.7154 + 0.2 * 0.0721, rtol=1e-6)
    path = written(tmp_path, np.full((2, 3), 102, np.uint8))
    np.testing.assert_allclose(io.load_image(path, color=False), np.full((2, 3, 1), 0.4), rtol=1e-6)
    np.testing.assert_allclose(io.load_image(path), np.full((2, 3, 3), 0.4), rtol=1e-6)


def test_load_image_16_bits_and_alpha(tmp_path: Path) -> None:
    path = written(tmp_path, np.full((2, 2, 4), (0, 13107, 65535, 7), np.uint16))
    np.testing.assert_allclose(io.load_image(path)[1, 1], [1, 0.2, 0], rtol=1e-6)


def test_load_image_of_floats(tmp_path: Path) -> None:
    path = written(tmp_path, np.full((2, 2, 3), (0.25, 0.5, 3), np.float32), "image.tiff")
    np.testing.assert_allclose(io.load_image(path)[0, 0], [3, 0.5, 0.25])


def test_load_image_grey_with_alpha(tmp_path: Path) -> None:
    from PIL import Image  # OpenCV does not write two channels

    path = str(tmp_path / "grey.png")
    Image.fromarray(np.full((2, 3, 2), (102, 9), np.uint8), "LA").save(path)
    np.testing.assert_allclose(io.load_image(path), np.full((2, 3, 3), 0.4), rtol=1e-6)


def test_load_image_leaves_the_orientation(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    path = str(tmp_path / "turned.jpg")
    Image.new("RGB", (8, 4)).save(path, exif=exif)
    assert io.load_image(path).shape == (4, 8, 3)


def test_load_image_refuses(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="image '.*none.png' does not exist"):
        io.load_image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").write_text("")
    for name in ("text.png", "empty.png"):
        with pytest.raises(DataError, match=f"'.*{name}' cannot be decoded"):
            io.load_image(tmp_path / name)


SMALLER = [[2.2575142, 4.67032, 8.071908], [19.64965, 25.2182, 31.2254]]
LARGER = [
    [0.0, 0.6125, 1.6749369, 3.0964015, 4.09197],
    [4.5, 6.6538987, 8.80448, 11.229487, 12.171347],
    [12.136753, 16.024483, 19.07842, 22.307762, 22.730616],
    [17.81909, 22.477196, 25.647463, 28.945704, 28.730263],
]
NEAREST = (
    [[0, 2.828427, 5.196152]] * 2 + [[8, 14.6969385, 18.520258]] + [[22.627417, 31.622776, 36.482872]] * 2
)
CUBIC = [
    [0.0, 0.09023236, 1.1454424, 2.8115695, 3.9433765],
    [3.8000772, 5.846984, 7.9520917, 10.961981, 12.141487],
    [13.540532, 17.714228, 20.659452, 25.139532, 25.743671],
    [19.891155, 24.801138, 27.605705, 32.33318, 32.266914],
]


@pytest.mark.parametrize(
    ("size", "order", "expected"),
    [((2, 3), 1, SMALLER), ((4, 5), 1, LARGER), ((5, 3), 0, NEAREST), ((4, 5), 3, CUBIC)],
)
@pytest.mark.parametrize("shift", [0, 5])
def test_resize_as_scikit_image(size, order, expected, shift) -> None:
    y = io.resize_image(IMAGE + shift, size, order)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y[:, :, 0], np.array(expected) + shift, atol=1e-5)
    three = io.resize_image(np.tile(IMAGE, (1, 1, 3)) + shift, size, order)
    np.testing.assert_array_equal(three, np.tile(y, (1, 1, 3)))


def test_resize_other_channels_as_scipy() -> None:
    image = np.concatenate([IMAGE, 2 * IMAGE], axis=2)
    linear = [
        [0, 0.75, 1.9142135, 3.4203584, 5.1961527],
        [22.627417, 25.906855, 29.311388, 32.8378, 36.482872],
    ]
    nearest = [[0, 1, 2.828427, 2.828427, 5.1961527], [22.627417, 27, 31.622776, 31.622776, 36.482872]]
    for order, expected in ((1, linear), (0, nearest)):
        y = io.resize_image(image, (2, 5), order)
        np.testing.assert_allclose(y, np.stack([expected, 2 * np.array(expected)], axis=2), rtol=1e-6)
    assert io.resize_image(image, (1, 1)).tolist() == [[[0, 0]]]


def test_resize_a_constant_image() -> None:
    y = io.resize_image(np.full((3, 3, 3), 7, np.uint8), np.array([5, 2]))
    assert y.dtype == np.float32 and y.tolist() == np.full((5, 2, 3), 7.0).tolist()


@pytest.mark.parametrize(
    ("shape", "size", "order", "text"),
    [
        (
            (4, 4),
            (2, 2),
            1,
            r"expected an image of shape \(H, W, K\), got \(4, 4\)\n  Fix: image\[:, :, np.newaxis\]",
        ),
        ((0, 4, 3), (2, 2), 1, r"got \(0, 4, 3\)"),
        ((4, 4, 3), (0, 2), 1, r"new_dims \(height, width\) of at least 1"),
        ((4, 4, 3), (2, 2, 3), 1, r"new_dims \(height, width\)"),
        ((4, 4, 3), (2, 2), 2, "expected interp_order 0 or 1, or 3 with 1 or 3 channels, got 2"),
        ((4, 4, 4), (2, 2), 3, "got 3"),
    ],
)
def test_resize_refuses(shape, size, order, text) -> None:
    with pytest.raises(UsageError, match=text):
        io.resize_image(np.ones(shape), size, order)


def test_oversample_order() -> None:
    image = np.arange(30.0).reshape(5, 6, 1)
    crops = io.oversample([image, image + 100], (2, 3))
    assert crops.shape == (20, 2, 3, 1) and crops.dtype == np.float32
    firsts = crops[:, 0, :, 0].tolist()
    assert firsts[:5] == [[0, 1, 2], [3, 4, 5], [18, 19, 20], [21, 22, 23], [7, 8, 9]]
    assert firsts[5:10] == [row[::-1] for row in firsts[:5]]
    np.testing.assert_array_equal(crops[10:], crops[:10] + 100)


def test_oversample_refuses() -> None:
    with pytest.raises(UsageError, match="at least 3 x 2 .* to crop, got 2 x 2"):
        io.oversample(np.zeros((1, 2, 2, 3)), (3, 2))
    with pytest.raises(UsageError, match=r"one shape \(H, W, K\), got \[\(2, 2, 3\), \(3, 2, 3\)\]"):
        io.oversample([np.zeros((2, 2, 3)), np.zeros((3, 2, 3))], (1, 1))
    with pytest.raises(UsageError, match="got no image"):
        io.oversample([], (1, 1))


# -- Transformer ---------------------------------------------------------------------------------------------


def transformer() -> io.Transformer:
    t = io.Transformer({"data": (10, 3, 4, 5)})
    t.set_transpose("data", (2, 0, 1))
    t.set_channel_swap("data", (2, 1, 0))
    t.set_raw_scale("data", 255)
    t.set_mean("data", np.array([104.0, 117, 123]))
    t.set_input_scale("data", 0.5)
    return t


def test_preprocess_order() -> None:
    image = np.random.default_rng(0).random((4, 5, 3), dtype=np.float32)
    before = image.copy()
    y = transformer().preprocess("data", image)
    mean = np.array([104, 117, 123])[:, None, None]
    np.testing.assert_allclose(y, (image.transpose(2, 0, 1)[::-1] * 255 - mean) * 0.5, rtol=1e-5, atol=1e-5)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(image, before)


def test_preprocess_resizes_first() -> None:
    image = np.random.default_rng(0).random((8, 10, 3))
    t = transformer()
    np.testing.assert_allclose(
        t.preprocess("data", image), t.preprocess("data", io.resize_image(image, (4, 5))), atol=1e-4
    )


def test_preprocess_leaves_the_image_alone() -> None:
    t = io.Transformer({"data": [1, 4, 5, 3]})
    t.set_raw_scale("data", 2)
    image = np.ones((4, 5, 3), np.float32)
    assert t.preprocess("data", image).max() == 1 * 2 and image.max() == 1


def test_deprocess_is_the_way_back() -> None:
    image = np.random.default_rng(0).random((4, 5, 3), dtype=np.float32)
    t = transformer()
    y = t.preprocess("data", image)
    np.testing.assert_allclose(t.deprocess("data", y), image, atol=1e-6)
    np.testing.assert_allclose(t.deprocess("data", y[None]), image, atol=1e-6)


def test_deprocess_inverts_orders_that_are_not_their_own_inverse() -> None:
    t = io.Transformer({"data": (1, 3, 4, 5)})
    t.set_transpose("data", (2, 0, 1))
    t.set_channel_swap("data", (1, 2, 0))
    image = np.random.default_rng(0).random((4, 5, 3), dtype=np.float32)
    np.testing.assert_array_equal(t.deprocess("data", t.preprocess("data", image)), image)


def test_deprocess_of_one_channel() -> None:
    t = io.Transformer({"data": (1, 1, 4, 5)})
    assert t.deprocess("data", np.zeros((1, 1, 4, 5))).shape == (4, 5)
    t.set_transpose("data", (2, 0, 1))
    assert t.deprocess("data", np.zeros((1, 1, 4, 5))).shape == (4, 5, 1)


def test_mean_of_a_channel() -> None:
    t = io.Transformer({"data": (1, 3, 4, 5)})
    t.set_mean("data", [1, 2, 3])
    assert t.mean["data"].shape == (3, 1, 1)
    with pytest.raises(ValueError, match=r"^Mean channels incompatible with input\. Expected 3, got 2"):
        t.set_mean("data", np.zeros(2))


def test_mean_of_an_image() -> None:
    t = io.Transformer({"data": (1, 1, 4, 5)})
    mean = np.random.default_rng(0).random((1, 4, 5))
    t.set_mean("data", mean)
    assert t.mean["data"] is not None and np.array_equal(t.mean["data"], mean)
    t.set_mean("data", mean[0])
    assert np.array_equal(t.mean["data"], mean)


def test_mean_of_another_size() -> None:
    t = io.Transformer({"data": (1, 3, 4, 5)})
    mean = np.tile(IMAGE[:, :, 0], (3, 1, 1)) + 100
    t.set_mean("data", mean)
    np.testing.assert_allclose(t.mean["data"], np.tile(np.array(LARGER) + 100, (3, 1, 1)), atol=1e-4)
    t.set_mean("data", np.full((3, 8, 8), 104.0))  # pycaffe divides by zero
    assert t.mean["data"].tolist() == np.full((3, 4, 5), 104.0).tolist()


def test_wrong_means() -> None:
    t = io.Transformer({"data": (1, 3, 4, 5)})
    with pytest.raises(ValueError, match=r"^Mean shape invalid(.|\n)*Fix: mean\[0\]"):
        t.set_mean("data", np.zeros((1, 3, 4, 5)))
    with pytest.raises(ValueError, match="Mean channels incompatible with input"):
        t.set_mean("data", np.zeros((2, 4, 5)))


def test_transformer_refuses() -> None:
    t = transformer()
    message = re.escape("dat is not one of the net inputs: {'data': (10, 3, 4, 5)}; did you mean 'data'?")
    for call in (t.preprocess, t.deprocess, t.set_mean, t.set_transpose, t.set_raw_scale, t.set_input_scale):
        with pytest.raises(UsageError, match=f"^{message}"):
            call("dat", np.zeros(3))
    with pytest.raises(
        UsageError, match="Transpose order needs to have the same number of dimensions as the input"
    ):
        t.set_transpose("data", (1, 0))
    with pytest.raises(UsageError, match="Channel swap needs .* as the input channels. Expected 3, got"):
        t.set_channel_swap("data", (1, 0))
    with pytest.raises(
        UsageError, match=r"input 'data': expected an image of shape \(H, W, K\), got \(4, 5\)"
    ):
        t.preprocess("data", np.zeros((4, 5)))


def test_channels_that_are_not_there() -> None:
    t = io.Transformer({"data": (1, 3, 4, 5)})
    t.set_transpose("data", (2, 0, 1))
    with pytest.raises(UsageError, match=r"expected channels 0 to 2, got \(2, 1, 3\)"):
        t.set_channel_swap("data", (2, 1, 3))
    t.set_channel_swap("data", (2, 1, 0))
    with pytest.raises(
        UsageError, match=r"input 'data': expected the channels \(2, 1, 0\) in an image, got 1"
    ):
        t.preprocess("data", np.zeros((4, 5, 1)))
