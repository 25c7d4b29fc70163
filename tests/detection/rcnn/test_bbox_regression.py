"""Box regression against the plain formulas, and what it does to boxes."""

from __future__ import annotations

import numpy as np

from caffelite.boxes.boxes import encode_rcnn, overlaps
from caffelite.detection.rcnn.bbox_regression import OVERLAP, fit, train_regression
from caffelite.detection.rcnn.regions import Regions

from ..sets import picture


def plain(x, y, weight):
    """Girshick's train_bbox_regressor, step by step."""
    middle = y.mean(axis=0)
    variances, axes = np.linalg.eigh((y - middle).T @ (y - middle) / len(y))
    white = axes @ np.diag(1 / np.sqrt(variances + 0.001)) @ axes.T
    back = axes @ np.diag(np.sqrt(variances + 0.001)) @ axes.T
    x = np.column_stack([x, np.ones(len(x))])
    beta = np.linalg.inv(x.T @ x + weight * np.eye(x.shape[1])) @ x.T @ ((y - middle) @ white)
    return lambda z: np.column_stack([z, np.ones(len(z))]) @ beta @ back + middle


def test_ridge_on_whitened_targets():
    rng = np.random.default_rng(0)
    for K, D in ((60, 7), (9, 30)):  # more rows than values, and fewer
        x, y = rng.normal(size=(K, D)), rng.normal(size=(K, 4)) @ rng.normal(size=(4, 4))
        W, b = fit(x, y, 20.0)
        z = rng.normal(size=(5, D))
        np.testing.assert_allclose(z @ W + b, plain(x, y, 20.0)(z), atol=1e-9)


def regions_with_codes(rng, label):
    """A picture whose features are the codes of its object: what regression is to find out."""
    one = Regions.of(
        picture("p", [[30, 30, 69, 69]], [label]), np.array([30, 30, 69, 69]) + rng.integers(-5, 6, (40, 4))
    )
    near, _ = one.near(OVERLAP)
    codes = encode_rcnn(one.boxes[near], np.repeat(one.boxes[:1], len(near), axis=0))
    return one, (codes * 100).astype(np.float32)


def test_boxes_come_nearer():
    rng = np.random.default_rng(1)
    pairs = [regions_with_codes(rng, 1) for _ in range(20)]
    regression = train_regression([one for one, _ in pairs], [x for _, x in pairs], 2, weight=1.0)
    one, x = regions_with_codes(rng, 1)
    near, _ = one.near(OVERLAP)
    found = regression.boxes(x, one.boxes[near], 100, 100)
    assert found.shape == (len(near), 8) and found.dtype == np.float32
    before, after = (overlaps(boxes, one.boxes[:1]).mean() for boxes in (one.boxes[near], found[:, :4]))
    assert before < 0.9 < 0.98 < after
    np.testing.assert_allclose(found[:, 4:], one.boxes[near], atol=1e-4)  # class 2 has taught nothing


def test_boxes_stay_inside():
    rng = np.random.default_rng(2)
    one, x = regions_with_codes(rng, 1)
    regression = train_regression([one], [x], 1)
    found = regression.boxes(1000 * x, one.boxes[one.near(OVERLAP)[0]], 100, 80)
    assert found.min() >= 0 and found[:, [0, 2]].max() <= 79 and found[:, [1, 3]].max() <= 99


def test_without_near_proposals_boxes_stay_where_they_are():
    one = Regions.of(picture("p", [[0, 0, 9, 9]]), [[50, 50, 69, 69]])
    regression = train_regression([one], [np.zeros((0, 3), np.float32)], 1)
    box = np.array([[5, 6, 20, 30]], np.float32)
    np.testing.assert_allclose(regression.boxes(np.ones((1, 3), np.float32), box, 100, 100), box, atol=1e-5)
