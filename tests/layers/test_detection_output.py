"""DetectionOutput, against loops over single boxes."""

import math

import numpy as np
import pytest

import caffelite
from caffelite.errors import DataError
from caffelite.testing import run_layer

P, C, N = 40, 4, 2


def overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [max(0, box[2] - box[0]) * max(0, box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def decode(code, loc, prior, variance):
    loc = [value * v for value, v in zip(loc, variance, strict=True)]
    if code == "CORNER":
        return [p + value for p, value in zip(prior, loc, strict=True)]
    width, height = prior[2] - prior[0], prior[3] - prior[1]
    if code == "CORNER_SIZE":
        return [p + value * size for p, value, size in zip(prior, loc, (width, height) * 2, strict=True)]
    x, y = loc[0] * width + (prior[0] + prior[2]) / 2, loc[1] * height + (prior[1] + prior[3]) / 2
    w, h = math.exp(loc[2]) * width / 2, math.exp(loc[3]) * height / 2
    return [x - w, y - h, x + w, y + h]


def survivors(boxes, scores, threshold, top_k, eta, lowest):
    order = sorted((i for i in range(len(boxes)) if scores[i] > lowest), key=lambda i: (-scores[i], i))
    kept = []
    for i in order if top_k is None else order[:top_k]:
        if all(overlap(boxes[i], boxes[k]) <= threshold for k in kept):
            kept.append(i)
            threshold *= eta if threshold > 0.5 else 1
    return kept


def by_loops(
    loc,
    conf,
    prior,
    *,
    code,
    share=True,
    target=False,
    background=0,
    nms=0.3,
    top_k=None,
    eta=1.0,
    keep=-1,
    lowest=-1e9,
):
    priors, variances = prior[0].reshape(2, P, 4).tolist()
    rows = []
    for item in range(len(loc)):
        found = []
        for label in (label for label in range(C) if label != background):
            places = loc[item].reshape(P, -1, 4)[:, 0 if share else label].tolist()
            units = [[1] * 4] * P if target else variances
            boxes = [decode(code, a, b, v) for a, b, v in zip(places, priors, units, strict=True)]
            scores = conf[item].reshape(P, C)[:, label].tolist()
            kept = survivors(boxes, scores, nms, top_k, eta, lowest)
            found += [(item, label, scores[i], *boxes[i]) for i in kept]
        if -1 < keep < len(found):
            found = sorted(sorted(found, key=lambda row: -row[2])[:keep], key=lambda row: row[1])
        rows += found
    return np.array(rows).reshape(1, 1, -1, 7)


def inputs(share=True, classes=C, scale=1.0):
    rng = np.random.default_rng(3)
    centres, sizes = rng.uniform(0, 1, (P, 2)), rng.uniform(0.1, 0.5, (P, 2))
    corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1)
    prior = np.stack([corners.ravel(), np.tile([0.1, 0.15, 0.2, 0.25], P)])[None]
    loc = rng.normal(size=(N, P * 4 * (1 if share else classes))) * scale
    conf = rng.dirichlet(np.ones(classes), (N, P)).reshape(N, -1)
    return loc, conf.round(2), prior  # equal scores occur


def text(code="CENTER_SIZE", nms="nms_threshold: 0.3", more=""):
    return f"detection_output_param {{ num_classes: {C} code_type: {code} nms_param {{ {nms} }} {more} }}"


@pytest.mark.parametrize("code", ["CORNER", "CENTER_SIZE", "CORNER_SIZE"])
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("target", [True, False])
def test_codes(code, share, target):
    parts = inputs(share, scale=0.1 if target else 1)
    more = f"share_location: {str(share).lower()} variance_encoded_in_target: {str(target).lower()}"
    run = run_layer("DetectionOutput", text(code, more=more), parts)
    np.testing.assert_allclose(run.y[0], by_loops(*parts, code=code, share=share, target=target), atol=1e-12)


@pytest.mark.parametrize(
    ("nms", "more", "arguments"),
    [
        ("top_k: 7", "", {"top_k": 7}),
        ("nms_threshold: 0.8 eta: 0.9", "", {"nms": 0.8, "eta": 0.9}),
        ("nms_threshold: 0", "", {"nms": 0.0}),
        ("", "keep_top_k: 9 fixed_rows: false", {"keep": 9}),
        ("", "keep_top_k: 500 fixed_rows: false", {"keep": 500}),
        ("", "confidence_threshold: 0.355", {"lowest": 0.355}),
        ("", "background_label_id: 2", {"background": 2}),
        ("", "background_label_id: -1", {"background": -1}),
        (
            "nms_threshold: 0.45 top_k: 20",
            "keep_top_k: 5 confidence_threshold: 0.1 fixed_rows: false",
            {"nms": 0.45, "top_k": 20, "keep": 5, "lowest": 0.1},
        ),
    ],
)
def test_selection(nms, more, arguments):
    parts = inputs()
    run = run_layer("DetectionOutput", text(nms=nms, more=more), parts)
    want = by_loops(*parts, code="CENTER_SIZE", **arguments)
    assert want.size
    np.testing.assert_allclose(run.y[0], want, atol=1e-12)


@pytest.mark.parametrize("more", ["confidence_threshold: 2", "keep_top_k: 0", "nms_param { top_k: 0 }"])
def test_nothing_found_gives_a_row_for_each_item(more):
    param = f"detection_output_param {{ num_classes: {C} code_type: CENTER_SIZE {more} }}"
    run = run_layer("DetectionOutput", param, inputs())
    np.testing.assert_array_equal(run.y[0][0, 0], [[0, *[-1] * 6], [1, *[-1] * 6]])


def test_rows_of_zeros_fill_up_to_keep_top_k():
    """As OpenCV's dnn: a fixed number of rows, all items' detections first."""
    parts = inputs()
    run = run_layer("DetectionOutput", text(more="keep_top_k: 50 confidence_threshold: 0.3"), parts)
    want = by_loops(*parts, code="CENTER_SIZE", keep=50, lowest=0.3)
    (y,) = run.y
    assert y.shape == (1, 1, 100, 7)
    assert 0 < want.shape[2] < 100
    np.testing.assert_allclose(y[:, :, : want.shape[2]], want, atol=1e-12)
    assert not y[:, :, want.shape[2] :].any()


def test_nothing_found_in_a_fixed_number_of_rows():
    run = run_layer("DetectionOutput", text(more="keep_top_k: 3 confidence_threshold: 2"), inputs())
    np.testing.assert_array_equal(run.y[0][0, 0], [[0, *[-1] * 6], [1, *[-1] * 6], *[[0] * 7] * 4])


def test_an_item_without_detections_has_no_row_beside_one_with():
    loc, conf, prior = inputs()
    conf[0] = 0
    run = run_layer("DetectionOutput", text(more="confidence_threshold: 0.2"), [loc, conf, prior])
    assert set(run.y[0][0, 0, :, 0]) == {1}


def test_nan_scores_and_boxes_do_not_stop_it():
    loc, conf, prior = inputs()
    conf[0, ::3], loc[0, :8] = np.nan, np.nan
    run = run_layer("DetectionOutput", text(), [loc, conf, prior])
    assert np.isfinite(run.y[0][..., 2]).all()


def test_no_items():
    loc, conf, prior = inputs()
    run = run_layer("DetectionOutput", text(), [loc[:0], conf[:0], prior])
    assert run.y[0].shape == (1, 1, 0, 7)


NET = """
layer { name: "loc" type: "Input" top: "loc" input_param { shape { dim: 2 dim: 160 } } }
layer { name: "conf" type: "Input" top: "conf" input_param { shape { dim: 2 dim: 160 } } }
layer { name: "prior" type: "Input" top: "prior" input_param { shape { dim: 1 dim: 2 dim: 160 } } }
layer { name: "found" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" top: "found" detection_output_param {
  num_classes: 4 code_type: CENTER_SIZE confidence_threshold: 0.3 keep_top_k: 6 fixed_rows: false } }
"""


@pytest.mark.parametrize("engine", ["cpu", "reference"])
def test_in_a_net_the_top_has_another_size_in_each_pass(tmp_path, engine):
    (tmp_path / "net.prototxt").write_text(NET)
    net = caffelite.Net(str(tmp_path / "net.prototxt"), caffelite.TEST, engine=engine)
    assert net.blobs["found"].data.shape == (1, 1, 1, 7)
    loc, conf, prior = inputs()
    for factor in (1, 0.01, 0.5, 1):
        net.blobs["loc"].data[...], net.blobs["conf"].data[...] = loc, conf * factor
        net.blobs["prior"].data[...] = prior
        found = net.forward()["found"]
        want = by_loops(loc, conf * factor, prior, code="CENTER_SIZE", lowest=0.3, keep=6)
        if want.size:
            np.testing.assert_allclose(found, want, atol=1e-5)
        else:
            assert (found[0, 0, :, 1:] == -1).all()


def test_a_prior_without_width():
    loc, conf, prior = inputs()
    prior[0, 0, 10] = prior[0, 0, 8]
    with pytest.raises(
        DataError, match=r"(?s)expected priors with width and height, got \(.*\) as prior 2.*min_size"
    ):
        run_layer("DetectionOutput", text(), [loc, conf, prior])
    run_layer("DetectionOutput", text("CORNER"), [loc, conf, prior])


SHAPES = [(2, 160), (2, 160), (1, 2, 160)]


@pytest.mark.parametrize(
    ("param", "part"),
    [
        ("", "expected num_classes >= 1, got 0"),
        ("num_classes: 4 nms_param { nms_threshold: -1 }", "expected nms_threshold >= 0"),
        ("num_classes: 4 nms_param { eta: 0 }", "expected eta above 0 and up to 1, got 0.0"),
        ("num_classes: 4 visualize: true", "expected visualize: false"),
        (
            'num_classes: 4 save_output_param { output_directory: "a" label_map_file: "b" name_size_file: "c" }',
            "expected no output_directory (files are not written), got a",
        ),
    ],
)
def test_bad_parameters(message, param, part):
    assert part in message("DetectionOutput", f"detection_output_param {{ {param} }}", SHAPES)


def test_a_label_map_alone_writes_nothing():
    more = 'save_output_param { label_map_file: "labelmap_voc.prototxt" }'
    assert run_layer("DetectionOutput", text(more=more), inputs()).y[0].size


@pytest.mark.parametrize(
    "shapes",
    [
        [(2, 160), (3, 160), (1, 2, 160)],
        [(2, 80), (2, 160), (1, 2, 160)],
        [(2, 160), (2, 80), (1, 2, 160)],
        [(2, 160), (2, 160), (1, 1, 160)],
        [(2, 160), (2, 160), (1, 2, 161)],
    ],
)
def test_bad_shapes(message, shapes):
    found = message("DetectionOutput", text(), shapes)
    assert (
        "expected loc (N, 160) and conf (N, 160) for 40 priors and 4 classes" in found
        or "expected prior" in found
    )


def test_bottoms_of_refinedet_are_refused(message):
    assert "RefineDet" in message("DetectionOutput", text(), [*SHAPES, (2, 80), (2, 160)])


def test_the_image_may_be_the_fourth_bottom():
    assert run_layer("DetectionOutput", text(), [*inputs(), np.zeros((2, 3, 8, 8))]).y[0].size
