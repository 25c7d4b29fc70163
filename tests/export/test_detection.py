"""Prior boxes and detections."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.errors import ExportError
from caffelite.prototxt.source import parse_net

from .conftest import one_layer

PRIORS, CLASSES = 60, 4


def boxes(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Corners of boxes of some size, which often overlap."""
    low = rng.uniform(0, 0.7, (*shape, 2))
    return np.concatenate([low, low + rng.uniform(0.1, 0.4, (*shape, 2))], axis=-1)


def bottoms(items: int, each: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(items)
    loc = rng.normal(size=(items, PRIORS * (CLASSES if each else 1) * 4))
    conf = rng.dirichlet([0.5] * CLASSES, (items, PRIORS)).reshape(items, -1)
    prior = np.stack([boxes(rng, PRIORS).ravel(), np.tile([0.1, 0.1, 0.2, 0.2], PRIORS)])[None]
    return {"x0": loc, "x1": conf, "x2": prior}


def text(
    nms: str = "nms_threshold: 0.45 top_k: 30", more: str = "keep_top_k: 20 confidence_threshold: 0.1"
) -> str:
    return f"detection_output_param {{ num_classes: {CLASSES} nms_param {{ {nms} }} {more} }}"


@pytest.mark.parametrize(
    "words",
    [
        text(),
        text(more="keep_top_k: 5 confidence_threshold: 0.3 background_label_id: 2"),
        text(more="confidence_threshold: 0.1 background_label_id: -1"),
        text(more="keep_top_k: 7"),
        text(more="keep_top_k: 7 fixed_rows: false"),
        text(nms="nms_threshold: 0.3"),
        text(nms="nms_threshold: 0.7 top_k: 1000", more="code_type: CORNER confidence_threshold: 0.2"),
        text(more="code_type: CENTER_SIZE keep_top_k: 200 confidence_threshold: 0.01"),
        text(more="code_type: CORNER_SIZE variance_encoded_in_target: true confidence_threshold: 0.2"),
        text(more="keep_top_k: 20 confidence_threshold: 2"),
        text(more="keep_top_k: 20 confidence_threshold: 2 fixed_rows: false"),
        text(more="confidence_threshold: 2"),
    ],
)
@pytest.mark.parametrize("items", [1, 3])
@pytest.mark.parametrize("each", [False, True])
def test_detection_output(agree, words, items, each):
    values = bottoms(items, each)
    words = words.replace("num_classes", "share_location: false num_classes") if each else words
    agree("DetectionOutput", words, [value.shape for value in values.values()], values=values, tolerance=1e-5)


@pytest.mark.parametrize(
    "words",
    [
        "min_size: 30",
        "min_size: 30 max_size: 60 aspect_ratio: 2 aspect_ratio: 3 clip: true variance: 0.1 variance: 0.2 variance: 0.3 variance: 0.4",
        "min_size: 10 min_size: 16 step: 8 offset: 0.25 flip: false aspect_ratio: 2",
    ],
)
def test_prior_box_is_a_constant(agree, words):
    ops = agree("PriorBox", f"prior_box_param {{ {words} }}", [(1, 2, 4, 5), (1, 3, 60, 80)])
    assert ops == {"Identity": 1}


def refusal(tmp_path, words: str, **options) -> str:
    from caffelite import export

    net = parse_net(
        one_layer("DetectionOutput", words, [(1, 4 * PRIORS), (1, CLASSES * PRIORS), (1, 2, 4 * PRIORS)], 1)
    )
    with pytest.raises(ExportError) as caught:
        export.onnx(net, None, tmp_path / "net.onnx", **options)
    return str(caught.value)


def test_detections_that_onnx_cannot_express(tmp_path):
    assert "nms_param.eta changes the threshold" in refusal(tmp_path, text(nms="eta: 0.9"))
    assert "the batch must be fixed for it" in refusal(tmp_path, text(), batch="N")
