"""Proposal, against the functions that it is made of (which have oracles of their own) and by hand."""

import numpy as np
import pytest

from caffelite.boxes.anchors import base_anchors, shifted
from caffelite.boxes.targets import proposals
from caffelite.errors import NetError, NotFiniteError, ShapeError
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.testing import check_layer, make_layer, run_layer

TWO = "ratio: 1 scale: 2 scale: 4"


def maps(items=1, anchors=9, height=5, width=7, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0, 1, (items, 2 * anchors, height, width)).astype(np.float32)
    deltas = rng.normal(0, 0.2, (items, 4 * anchors, height, width)).astype(np.float32)
    return scores, deltas


def test_one_box_by_hand():
    scores, deltas = np.zeros((1, 2, 2, 3)), np.zeros((1, 4, 2, 3))
    scores[0, 0] = 1  # background
    scores[0, 1, 1, 2] = 0.75
    deltas[0, :, 1, 2] = [0.5, 0, 0, 0]  # half a width to the right
    text = "proposal_param { ratio: 1 scale: 2 post_nms_topn: 1 min_size: 1 }"
    run = run_layer("Proposal", text, [scores, deltas, [[64, 1000, 1]]], tops=2)
    # the anchor is -8, -8, 23, 23, moved by (32, 16); decoding leaves x2 and y2 one larger
    assert run.y[0].tolist() == [[0, 40, 8, 72, 40]]
    assert run.y[1].tolist() == [[0.75]]


def test_published_parameters_are_the_default():
    scores, deltas = maps()
    run = run_layer("Proposal", "", [scores, deltas, [[80, 112, 1.5]]], tops=2)
    codes = deltas[0].reshape(9, 4, 5, 7).transpose(2, 3, 0, 1).reshape(-1, 4)
    best = scores[0, 9:].transpose(1, 2, 0).reshape(-1)
    boxes, values = proposals(shifted(base_anchors(), 16, 5, 7), codes, best, 80, 112, min_size=24)
    assert (run.y[0] == np.insert(boxes, 0, 0, axis=1)).all()
    assert (run.y[1][:, 0] == values).all()


def test_each_image_has_its_size_and_number():
    scores, deltas = maps(3, 2)
    info = [[80, 112, 1], [40, 112, 2], [80, 50, 1]]
    text = f"proposal_param {{ {TWO} post_nms_topn: 6 pre_nms_topn: 40 nms_thresh: 0.5 min_size: 4 feat_stride: 8 }}"
    got = run_layer("Proposal", text, [scores, deltas, info], tops=2)
    parts = [
        run_layer("Proposal", text, [scores[i : i + 1], deltas[i : i + 1], info[i : i + 1]], tops=2)
        for i in range(3)
    ]
    assert got.y[0][:, 0].tolist() == [i for i, part in enumerate(parts) for _ in part.y[0]]
    assert (got.y[0][:, 1:] == np.concatenate([part.y[0][:, 1:] for part in parts])).all()
    assert (got.y[1] == np.concatenate([part.y[1] for part in parts])).all()
    assert (got.y[0][got.y[0][:, 0] == 1][:, 4] <= 39).all()


def test_checks():
    scores, deltas = maps(2, 2, 3, 4)
    text = f"proposal_param {{ {TWO} post_nms_topn: 5 min_size: 1 }}"
    values = {0: scores, 1: deltas, 2: [[48, 64, 1], [40, 60, 1]]}
    for tops in (1, 2):
        check_layer("Proposal", text, [scores.shape, deltas.shape, (2, 3)], tops=tops, values=values)


def test_no_box_is_large_enough():
    scores, deltas = maps()
    text = "proposal_param { min_size: 1000 }"
    assert [y.shape for y in run_layer("Proposal", text, [scores, deltas, [[80, 112, 1]]], tops=2).y] == [
        (0, 5),
        (0, 1),
    ]


@pytest.mark.parametrize(
    ("shapes", "text", "message"),
    [
        (
            [(1, 12, 2, 2), (1, 36, 2, 2), (1, 3)],
            "",
            r"scores \(N, 18, H, W\), 2 channels for each of 9 anchors",
        ),
        ([(1, 18, 2, 2), (1, 18, 2, 2), (1, 3)], "", r"deltas \(N, 36, H, W\)"),
        ([(1, 18, 2, 2), (1, 36, 2, 3), (1, 3)], "", "as many images and positions"),
        ([(2, 18, 2, 2), (2, 36, 2, 2), (1, 3)], "", r"im_info \(2, 3\)"),
        ([(1, 18, 2, 2), (1, 36, 2, 2), (3,)], "", r"im_info \(1, 3\)"),
    ],
)
def test_shapes_that_do_not_fit(shapes, text, message):
    with pytest.raises(ShapeError, match=message):
        make_layer("Proposal", text, 3).infer(shapes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("feat_stride: 0", "expected feat_stride >= 1, got 0"),
        ("scale: 8 scale: -1", "expected scales above 0"),
        ("ratio: 0", "expected ratios above 0"),
        ("nms_thresh: 1.5", "expected nms_thresh from 0 to 1, got 1.5"),
    ],
)
def test_bad_parameters(text, message):
    with pytest.raises(NetError, match=message):
        make_layer("Proposal", f"proposal_param {{ {text} }}", 3)


def test_nan_is_an_error_that_names_the_layer():
    scores, deltas = maps()
    deltas[0, 3, 2, 2] = np.nan
    with pytest.raises(
        NotFiniteError, match="layer 'layer' .*NaN in the scores or codes of the anchors of image 0"
    ):
        run_layer("Proposal", "", [scores, deltas, [[80, 112, 1]]])


def test_regions_are_pooled_in_a_net_and_their_number_changes():
    net = Model(
        parse_net("""
layer { name: "in" type: "Input" top: "s" top: "d" top: "i" top: "x"
  input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } shape { dim: 1 dim: 4 dim: 4 dim: 4 } shape { dim: 1 dim: 3 } shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "p" type: "Proposal" bottom: "s" bottom: "d" bottom: "i" top: "rois" proposal_param { ratio: 1 scale: 1 post_nms_topn: 5 min_size: 8 } }
layer { name: "r" type: "ROIPooling" bottom: "x" bottom: "rois" top: "y" roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.0625 } }
"""),
        1,
    )
    assert net.blob("y").shape == (5, 3, 2, 2)
    net.input("s")[...], net.input("d")[...] = maps(1, 1, 4, 4)
    net.input("x")[...] = 1
    for size, most in ((64, 5), (17, 1), (5, 0), (64, 5)):
        net.input("i")[...] = [[size, size, 1]]
        net.forward()
        assert net.blob("y").shape == (len(net.blob("rois")), 3, 2, 2)
        assert len(net.blob("rois")) <= most
        assert (len(net.blob("rois")) > 0) == (most > 0)
