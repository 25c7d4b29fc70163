"""pycaffe's Detector, on a net that gives its input."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import caffelite
from caffelite.detector import selective_search
from caffelite.errors import DataError, UsageError
from caffelite.io import load_image, resize_image

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "out" type: "Power" bottom: "data" top: "out" }
"""
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = str(tmp_path / "image.png")
    cv2.imwrite(path, PIXELS)
    return path


def detector(folder: Path, **options: object) -> caffelite.Detector:
    (folder / "net.prototxt").write_text(NET)
    return caffelite.Detector(str(folder / "net.prototxt"), None, engine="reference", **options)


def test_detect_windows(tmp_path: Path, image: str) -> None:
    net = detector(tmp_path, channel_swap=(2, 1, 0), raw_scale=255)
    windows = [(0, 0, 8, 8), np.array([2, 3, 18, 9]), [5, 5, 13, 13]]
    found = net.detect_windows(zip([image, image], [windows[:2], windows[2:]], strict=True))
    assert [detection["filename"] for detection in found] == [image] * 3
    assert [list(detection["window"]) for detection in found] == [list(window) for window in windows]
    np.testing.assert_allclose(found[0]["prediction"], PIXELS[:8, :8].transpose(2, 0, 1), atol=1e-3)
    np.testing.assert_allclose(found[2]["prediction"], PIXELS[5:13, 5:13].transpose(2, 0, 1), atol=1e-3)
    narrow = resize_image(PIXELS[2:18, 3:9].astype(np.float32), (8, 8)).transpose(2, 0, 1)
    np.testing.assert_allclose(found[1]["prediction"], narrow, atol=1e-3)


def test_no_windows(tmp_path: Path, image: str) -> None:
    assert detector(tmp_path).detect_windows([(image, [])]) == []


def test_context_inside_the_image(tmp_path: Path, image: str) -> None:
    net = detector(tmp_path, context_pad=2)
    im = load_image(image)
    crop = net.crop(im, np.array([8, 10, 11, 13]))
    # 4 pixels of 8 show the window: its half of 2 becomes 4 around (10, 12)
    assert crop.shape == (8, 8, 3) and crop.dtype == np.float32
    np.testing.assert_array_equal(crop, resize_image(im[6:14, 8:16], (8, 8)))


def test_context_outside_of_the_image_is_the_mean(tmp_path: Path, image: str) -> None:
    net = detector(
        tmp_path, context_pad=2, mean=np.array([10.0, 20, 30]), channel_swap=(1, 2, 0), raw_scale=10
    )
    im = load_image(image)
    crop = net.crop(im, (0, 0, 3, 3))  # box -2 to 6, 9 pixels by count: 2 of them outside
    np.testing.assert_allclose(crop[:2], np.full((2, 8, 3), [3, 1, 2]))
    np.testing.assert_allclose(crop[:, :2], np.full((8, 2, 3), [3, 1, 2]))
    np.testing.assert_array_equal(crop[2:, 2:], resize_image(im[:6, :6], (6, 6)))
    y = net.transformer.preprocess("data", crop)
    np.testing.assert_allclose(y[:, 0], 0, atol=1e-5)


def test_context_at_the_far_end(tmp_path: Path, image: str) -> None:
    net = detector(tmp_path, context_pad=2)
    crop = net.crop(load_image(image), (17, 27, 20, 30))
    assert (crop[6:] == 0).all() and (crop[:, 6:] == 0).all()
    assert (crop[:5, :5] > 0).any()


def test_mean_image_as_context(tmp_path: Path) -> None:
    mean = np.random.default_rng(1).random((3, 8, 8))
    net = detector(tmp_path, context_pad=1, mean=mean)
    np.testing.assert_array_equal(net.crop_mean, mean.transpose(1, 2, 0))
    net.configure_crop(None)
    assert not net.context_pad and net.crop_dims.tolist() == [8, 8, 3]


def test_windows_that_are_none(tmp_path: Path, image: str) -> None:
    im = load_image(image)
    for net in (detector(tmp_path), detector(tmp_path, context_pad=1)):
        with pytest.raises(UsageError, match="is no window of the image, which is 20 x 30"):
            net.crop(im, (25, 5, 28, 9))
    with pytest.raises(UsageError, match="ymin -1, xmin 0, ymax 4, xmax 4"):
        detector(tmp_path).crop(im, (-1, 0, 4, 4))
    with pytest.raises(UsageError, match=r"more than 8 pixels a side, .*\n  Fix: --context_pad 0 "):
        detector(tmp_path, context_pad=4)


def scene() -> np.ndarray:
    """A dark and a bright box on grey, in 120 x 200 pixels."""
    image = np.full((120, 200, 3), 0.5, np.float32)
    image[30:90, 20:80] = 0, 0, 0.6
    image[40:100, 120:180] = 1, 1, 0.2
    return image


def test_selective_search_finds_boxes() -> None:
    windows = selective_search(scene())
    assert windows.shape[1] == 4 and windows.dtype.kind == "i"
    for box in ((30, 20, 90, 80), (40, 120, 100, 180)):
        assert np.abs(windows - box).max(1).min() <= 3
    assert (windows[:, 2:] > windows[:, :2]).all() and (windows.max(0) <= [120, 200, 120, 200]).all()
    np.testing.assert_array_equal(selective_search(scene()), windows)


def test_detect_selective_search(tmp_path: Path) -> None:
    path = tmp_path / "scene.png"
    cv2.imwrite(str(path), (scene()[:, :, ::-1] * 255).round())
    found = detector(tmp_path).detect_selective_search([path])
    np.testing.assert_array_equal(
        [detection["window"] for detection in found], selective_search(load_image(path))
    )
    assert found[0]["filename"] == str(path) and found[0]["prediction"].shape == (3, 8, 8)


def test_selective_search_without_contributed_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "ximgproc")
    with pytest.raises(DataError, match="Fix: pip uninstall the other OpenCV wheels"):
        selective_search(scene())
