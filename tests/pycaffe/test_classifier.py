"""pycaffe's Classifier, on a net that gives the mean of each channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffelite
from caffelite.errors import UsageError
from caffelite.io import resize_image

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 6 dim: 8 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "mean" top: "fc" inner_product_param { num_output: 3 bias_term: false } }
"""
IMAGES = np.random.default_rng(0).random((3, 10, 12, 3), dtype=np.float32)


def classifier(folder: Path, **options: object) -> caffelite.Classifier:
    (folder / "net.prototxt").write_text(NET)
    net = caffelite.Net(str(folder / "net.prototxt"), caffelite.TEST, engine="reference")
    net.params["fc"][0].data[...] = np.eye(3)
    net.save(str(folder / "net.caffemodel"))
    files = (str(folder / "net.prototxt"), str(folder / "net.caffemodel"))
    return caffelite.Classifier(*files, engine="reference", **options)


def ten(image: np.ndarray, h: int, w: int) -> list[np.ndarray]:
    H, W = image.shape[:2]
    corners = [(0, 0), (0, W - w), (H - h, 0), (H - h, W - w), ((H - h) // 2, (W - w) // 2)]
    return [image[y : y + h, x : x + w] for y, x in corners]


def test_is_a_net(tmp_path: Path) -> None:
    net = classifier(tmp_path)
    assert isinstance(net, caffelite.Net) and net.inputs == ["data"]
    assert net.crop_dims.tolist() == [6, 8] == list(net.image_dims)
    assert net.transformer.transpose == {"data": (2, 0, 1)}


def test_predict_averages_ten_crops(tmp_path: Path) -> None:
    net = classifier(
        tmp_path, image_dims=(10, 12), channel_swap=(2, 1, 0), raw_scale=255, mean=np.array([1, 2, 3])
    )
    predictions = net.predict(list(IMAGES))
    crops = np.array([[crop.mean((0, 1)) for crop in ten(image, 6, 8)] for image in IMAGES])
    expected = crops.mean(1)[:, ::-1] * 255 - [1, 2, 3]
    assert predictions.shape == (3, 3)
    np.testing.assert_allclose(predictions, expected, rtol=1e-4)


def test_predict_in_the_centre(tmp_path: Path) -> None:
    net = classifier(tmp_path, image_dims=np.array([10, 12]), input_scale=2)
    predictions = net.predict(IMAGES, oversample=False)
    np.testing.assert_allclose(predictions, 2 * IMAGES[:, 2:8, 2:10].mean((1, 2)), rtol=1e-5)


def test_predict_scales_to_image_dims(tmp_path: Path) -> None:
    net = classifier(tmp_path)
    predictions = net.predict([IMAGES[0], IMAGES[1][:5]], oversample=False)
    expected = [resize_image(image, (6, 8)).mean((0, 1)) for image in (IMAGES[0], IMAGES[1][:5])]
    np.testing.assert_allclose(predictions, expected, rtol=1e-5)


def test_predict_refuses(tmp_path: Path) -> None:
    net = classifier(tmp_path, image_dims=(5, 12))
    for oversample in (True, False):
        with pytest.raises(UsageError, match="at least 6 x 8 .* to crop, got 5 x 12"):
            net.predict(IMAGES, oversample)
    with pytest.raises(UsageError, match="got no image"):
        net.predict([])
    with pytest.raises(UsageError, match=r"of one K, got \[\(1,\), \(3,\)\]"):
        net.predict([IMAGES[0], IMAGES[1][:, :, :1]])


def test_without_weights_file(tmp_path: Path) -> None:
    classifier(tmp_path)
    net = caffelite.Classifier(str(tmp_path / "net.prototxt"), None)
    assert net.predict(IMAGES).shape == (3, 3)
