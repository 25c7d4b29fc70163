"""The PyTorch yardstick: what of it needs no PyTorch, and its ROI pooling beside ours where PyTorch is installed."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection_torch import codes_to_boxes, ground_truth, rate, select
from caffelite.boxes.boxes import encode
from caffelite.detection.card import Card
from caffelite.detection.dataset import Picture
from caffelite.prototxt.source import parse_solver
from caffelite.testing import run_layer

CARD = Card("faster", "tiny", ("cat", "dog"), score=0.1, limit=3)


def picture(boxes, labels, difficult):
    boxes = np.float32(boxes)
    return Picture("a", Path("a.jpg"), 100, 50, boxes, np.int64(labels), np.array(difficult))


def test_rows_of_truth_are_scaled_mirrored_and_without_difficult_objects():
    one = picture([[10, 5, 29, 20], [0, 0, 9, 9]], [2, 1], [False, True])
    assert ground_truth(one, False, 2.0).tolist() == [[20, 10, 58, 40, 2]]
    assert ground_truth(one, True, 1.0).tolist() == [[70, 5, 89, 20, 2]]


def test_the_rate_warms_up_and_falls():
    text = 'net: "x" base_lr: 0.1 lr_policy: "multistep" gamma: 0.5 stepvalue: 20 stepvalue: 30 max_iter: 40 '
    solver = parse_solver(text + "rampup_interval: 10 rampup_lr: 0").message
    assert [rate(solver, i) for i in (0, 5, 10, 19, 20, 30)] == pytest.approx(
        [0, 0.05, 0.1, 0.1, 0.05, 0.025]
    )


def test_selection_suppresses_within_a_class_and_keeps_the_best():
    box = np.float32([10, 10, 29, 29])
    boxes = np.tile(np.stack([box, box + 1, box + 15]), (1, 3))
    scores = np.float32([[0.1, 0.6, 0.3], [0.2, 0.7, 0.05], [0.5, 0.0, 0.5]])
    rows = select(scores, boxes, CARD)
    assert rows[:, :2].tolist() == [[1, np.float32(0.7)], [2, np.float32(0.5)], [2, np.float32(0.3)]]
    assert rows[0, 2:].tolist() == [11, 11, 30, 30]


def test_codes_become_boxes_of_the_picture():
    rois, truth = np.float32([[0, 20, 20, 59, 59]]), np.float32([[24, 22, 67, 50]])
    codes = np.tile(encode(rois[:, 1:], truth), (1, 2))
    boxes = codes_to_boxes(rois, codes, 2.0, picture([[0, 0, 9, 9]], [1], [False]))
    assert boxes == pytest.approx(np.tile([[12, 11, 34, 25.5]], (1, 2)), abs=0.6)


def test_roi_pooling_equals_ours():
    torch = pytest.importorskip("torch")
    from benchmarks.torch_layers import RoiPool

    rng = np.random.default_rng(3)
    x = np.float32(np.round(rng.uniform(-4, 4, (2, 3, 19, 25))))  # with many ties
    corners = np.sort(rng.uniform(0, 170, (40, 2, 2)), axis=1).reshape(40, 4)
    rois = np.float32(np.concatenate([rng.integers(0, 2, (40, 1)), corners], axis=1))
    text = "roi_pooling_param { pooled_h: 7 pooled_w: 5 spatial_scale: 0.125 }"
    dy = np.float32(rng.uniform(-1, 1, (40, 3, 7, 5)))
    ours = run_layer("ROIPooling", text, [x, rois], dy=[dy])
    leaf = torch.from_numpy(x).requires_grad_()
    y = RoiPool.apply(leaf, torch.from_numpy(rois), (7, 5), 0.125)
    y.backward(torch.from_numpy(dy))
    assert np.array_equal(y.detach().numpy(), ours.y[0])
    assert np.allclose(leaf.grad.numpy(), ours.dx[0], atol=1e-5)
