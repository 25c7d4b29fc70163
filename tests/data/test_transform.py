"""The transformer: Caffe's arithmetic, exactly, and its checks."""

from __future__ import annotations

import logging
import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from caffelite.data import opencv
from caffelite.data.datum import Datum
from caffelite.data.mean import write_mean
from caffelite.data.owner import Owner
from caffelite.data.transform import Transformer, TransformParams
from caffelite.errors import DataError, MissingFileError
from caffelite.random import RandomSource
from caffelite.types import Location, Phase

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (3, 8, 9), np.uint8)


def transform(params, image=IMAGE, phase=Phase.TEST, words=None):
    transformer = Transformer(params, phase)
    out = np.full(transformer.output_shape(image.shape), np.nan, np.float32)
    transformer.apply(image, out, words)
    return out


def words(mirror=0, down=0, right=0):
    return np.array([mirror, down, right, 0], np.uint64)


def test_nothing_to_do():
    assert np.array_equal(transform(TransformParams()), IMAGE.astype(np.float32))


def test_centre_crop_lies_to_the_top_left_when_uneven():
    assert np.array_equal(transform(TransformParams(crop_size=5)), IMAGE[:, 1:6, 2:7])


def test_random_crop_in_train_reaches_every_place():
    params, seen = TransformParams(crop_size=6), set()
    for item in RandomSource(1).words(0, 200, "x"):
        y = transform(params, phase=Phase.TRAIN, words=item)
        top, left = int(item[1] % 3), int(item[2] % 4)
        assert np.array_equal(y, IMAGE[:, top : top + 6, left : left + 6])
        seen.add((top, left))
    assert len(seen) == 12


@pytest.mark.parametrize("phase", list(Phase))
def test_mirror_in_both_phases(phase):
    params = TransformParams(mirror=True)
    assert np.array_equal(transform(params, phase=phase, words=words(1)), IMAGE[:, :, ::-1])
    assert np.array_equal(transform(params, phase=phase, words=words(0)), IMAGE)


def test_mean_values_and_scale_round_as_float32_step_by_step():
    y = transform(TransformParams(mean_value=(104.5, 117.1, 123.3), scale=0.017))
    mean = np.array([104.5, 117.1, 123.3], np.float32).reshape(3, 1, 1)
    assert np.array_equal(y, (IMAGE.astype(np.float32) - mean) * np.float32(0.017))


def test_one_mean_value_serves_all_channels():
    assert np.array_equal(transform(TransformParams(mean_value=(100,))), IMAGE - np.float32(100))


def test_mean_file_is_cropped_with_the_image_and_not_mirrored_itself(tmp_path):
    mean = RNG.random((3, 8, 9)).astype(np.float32)
    write_mean(tmp_path / "mean", mean)
    params = TransformParams(mean_file=str(tmp_path / "mean"), crop_size=4, mirror=True, scale=0.5)
    y = transform(params, phase=Phase.TRAIN, words=words(1, 2, 3))
    window = np.s_[:, 2:6, 3:7]
    assert np.array_equal(y, ((IMAGE[window] - mean[window]) * np.float32(0.5))[..., ::-1])


def test_floats_take_the_same_way():
    image = RNG.standard_normal((2, 4, 4)).astype(np.float32)
    y = transform(TransformParams(mean_value=(0.25,), scale=3, crop_size=2), image)
    assert np.array_equal(y, (image[:, 1:3, 1:3] - np.float32(0.25)) * 3)


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("params", [TransformParams(scale=0.1), TransformParams(crop_size=5, mirror=True)])
def test_a_batch_is_its_items(params, phase):
    images, draws = RNG.integers(0, 256, (70, 3, 40, 30), np.uint8), RandomSource(2).words(0, 70)
    transformer = Transformer(params, phase)
    shape = transformer.output_shape((3, 40, 30))
    batch, items = np.empty((70, *shape), np.float32), np.empty((70, *shape), np.float32)
    transformer.apply_batch(images, batch, draws if transformer.draws else None)
    for image, y, item_words in zip(images, items, draws, strict=True):
        transformer.apply(image, y, item_words)
    assert np.array_equal(batch, items)


def test_a_float64_destination_gets_the_same_values():
    out = np.empty(IMAGE.shape)
    Transformer(TransformParams(scale=0.1), Phase.TEST).apply(IMAGE, out)
    assert np.array_equal(out, transform(TransformParams(scale=0.1)))


def test_parameters_from_a_message():
    message = SimpleNamespace(
        scale=2, mirror=True, crop_size=3, mean_file="", mean_value=[1, 2], force_color=False, force_gray=True
    )
    expected = TransformParams(2, True, 3, "", (1, 2), False, True)
    assert TransformParams.from_message(message) == expected


# -- images ---------------------------------------------------------------------------------------------


def encoded(image, extension=".png"):
    cv2 = pytest.importorskip("cv2")
    return Datum(data=cv2.imencode(extension, image)[1].tobytes(), encoded=True)


def test_encoded_images_come_in_blue_green_red():
    image = RNG.integers(0, 256, (5, 4, 3), np.uint8)
    x = Transformer(TransformParams(), Phase.TEST).image(encoded(image))
    assert np.array_equal(x, image.transpose(2, 0, 1))


def test_force_color_and_force_gray():
    grey, colour = np.full((2, 3), 7, np.uint8), np.full((2, 3, 3), 9, np.uint8)
    plain, force_color, force_gray = (
        Transformer(params, Phase.TEST)
        for params in (TransformParams(), TransformParams(force_color=True), TransformParams(force_gray=True))
    )
    assert plain.image(encoded(grey)).shape == (1, 2, 3)
    assert force_color.image(encoded(grey)).tolist() == np.full((3, 2, 3), 7).tolist()
    assert force_gray.image(encoded(colour)).tolist() == np.full((1, 2, 3), 9).tolist()


# A bitmap's head that promises 100,000 x 100,000 pixels, more than OpenCV takes.
HUGE = b"BM" + struct.pack("<3I", 54, 0, 54) + struct.pack("<I2i2H6I", 40, 100000, 100000, 1, 24, *[0] * 6)


@pytest.mark.parametrize("data", [b"", b"no image", HUGE])
def test_images_that_do_not_decode(data):
    with pytest.raises(DataError, match="cannot be decoded"):
        Transformer(TransformParams(), Phase.TEST).image(Datum(data=data, encoded=True))


def test_opencv_is_missing_or_broken(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        DataError, match=r"need OpenCV.*\n  Fix: pip uninstall -y opencv-python .* && pip install"
    ):
        opencv.load()
    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace())
    with pytest.raises(DataError, match="several of its wheels"):
        opencv.load()


def test_images_of_16_bits_are_refused():
    with pytest.raises(DataError, match="8 bits a channel, got uint16"):
        Transformer(TransformParams(), Phase.TEST).image(encoded(np.zeros((2, 2), np.uint16)))


def test_force_color_of_a_raw_record_does_nothing_but_say_so(caplog):
    transformer = Transformer(TransformParams(force_color=True), Phase.TEST)
    raw = Datum(1, 2, 2, bytes(4))
    with caplog.at_level(logging.WARNING, "caffelite"):
        assert transformer.image(raw).shape == transformer.image(raw).shape == (1, 2, 2)
    assert len(caplog.records) == 1 and "not encoded" in caplog.text


# -- checks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params, text",
    [
        (TransformParams(mean_file="m", mean_value=(1,)), "expected mean_file or mean_value, got both"),
        (TransformParams(force_color=True, force_gray=True), "expected force_color or force_gray, got both"),
    ],
)
def test_contradictions(params, text):
    owner = Owner("d", "Data", Location("a.prototxt", 2, 3))
    with pytest.raises(DataError) as caught:
        Transformer(params, Phase.TEST, owner)
    assert str(caught.value).startswith(f"layer 'd' (Data) at a.prototxt:2:3: {text}\n  Fix: ")


def test_a_missing_mean_file(tmp_path):
    with pytest.raises(MissingFileError, match="mean_file"):
        Transformer(TransformParams(mean_file=str(tmp_path / "no")), Phase.TEST)


def test_a_crop_larger_than_the_image():
    with pytest.raises(
        DataError, match=r"at least 9 x 9 for crop_size, got 3 x 8 x 9 .*\n  Fix: crop_size: 8"
    ):
        transform(TransformParams(crop_size=9))


def test_a_mean_of_another_size_tells_both_sizes_and_its_averages(tmp_path):
    write_mean(tmp_path / "mean", np.stack([np.full((4, 4), v, np.float32) for v in (1, 2, 3)]))
    with pytest.raises(DataError) as caught:
        transform(TransformParams(mean_file=str(tmp_path / "mean")))
    text = str(caught.value)
    assert "3 x 4 x 4" in text and "got 3 x 8 x 9" in text
    assert text.endswith("mean_value: 1 mean_value: 2 mean_value: 3")


def test_two_mean_values_for_three_channels():
    with pytest.raises(DataError, match="expected 1 or 3 mean_value for 3 channels, got 2"):
        transform(TransformParams(mean_value=(1, 2)))
