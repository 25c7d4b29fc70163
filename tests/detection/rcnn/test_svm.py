"""SVMs: the problem that liblinear is given, what is mined, and what cannot be learned."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from caffelite.boxes.boxes import overlaps
from caffelite.detection.rcnn.regions import Regions, regions_of
from caffelite.detection.rcnn.svm import RCNN, fit, mean_norm, train_svms
from caffelite.errors import DataError, UsageError

from ..sets import picture

pytest.importorskip("sklearn")


def loss(w, b, x, y, options):
    """What R-CNN's SVM minimises: the bias is a weight of a feature that is always ``options.bias``."""
    costs = np.where(y > 0, options.positive_weight, 1.0)
    slack = np.maximum(0, 1 - y * (x @ w + b))
    return 0.5 * (w @ w + (b / options.bias) ** 2) + options.C * (costs * slack).sum()


def test_minimises_the_hinge_loss():
    rng = np.random.default_rng(0)
    positives, negatives = rng.normal(0.6, 1, (30, 5)), rng.normal(-0.6, 1, (90, 5))
    options = replace(RCNN, C=0.1)
    w, b = fit(positives, negatives, options)
    x, y = np.concatenate([positives, negatives]), np.repeat([1, -1], [30, 90])
    best = loss(w, b, x, y, options)
    for _ in range(200):
        dw, db = rng.normal(0, 0.02, 5), rng.normal(0, 0.02)
        assert loss(w + dw, b + db, x, y, options) > best - 1e-3


def set_of(rng, count=12):
    """Pictures with one object each, and features that tell the class: the label's axis is 4 on objects."""
    pictures = [picture(f"p{i}", boxes=[[10, 10, 29, 29]], labels=[1 + i % 2]) for i in range(count)]
    proposals = {
        p.key: (rng.uniform(0, 30, (40, 2)).repeat(2, 1)[:, [0, 2, 1, 3]] + [0, 0, 19, 19], None)
        for p in pictures
    }
    regions = regions_of(pictures, proposals)
    features = []
    for one in regions:
        x = rng.normal(0, 0.3, (len(one.boxes), 4))
        x[:, one.labels[0]] += 4 * overlaps(one.boxes, one.boxes[:1])[:, 0]
        features.append(x.astype(np.float32))
    return regions, features


def test_learns_classes_and_ignores_what_is_neither():
    regions, features = set_of(np.random.default_rng(1))
    svms = train_svms(regions, features, ("a", "b"), replace(RCNN, C=0.1))
    margins = np.stack([svms.margins(x)[0] for x in features])
    labels = np.array([one.labels[0] for one in regions])
    assert (margins.argmax(axis=1) + 1 == labels).all()
    assert (margins.max(axis=1) > 0).all() and (margins.min(axis=1) < -0.5).all()


def test_mining_ends_where_all_negatives_would():
    regions, features = set_of(np.random.default_rng(2))
    options = replace(RCNN, C=0.05)
    mined = train_svms(regions, features, ("a", "b"), replace(options, retrain=30))
    scale = np.float32(options.norm / mean_norm(features, len(features), options.seed))
    for label in (1, 2):
        positives = [
            x[:1] * scale for one, x in zip(regions, features, strict=True) if one.labels[0] == label
        ]
        negatives = [x[one.free_of(label, 0.3)] * scale for one, x in zip(regions, features, strict=True)]
        w, b = fit(np.concatenate(positives), np.concatenate(negatives), options)
        np.testing.assert_allclose(mined.weights[label - 1], w * scale, atol=0.05 * np.abs(w * scale).max())
        assert abs(mined.biases[label - 1] - b) < 0.05


def test_scale_of_features_does_not_matter():
    regions, features = set_of(np.random.default_rng(3))
    one, other = (train_svms(regions, [k * x for x in features], ("a", "b")) for k in (1, 8))
    np.testing.assert_allclose(one.margins(features[0]), other.margins(8 * features[0]), atol=1e-4)


def test_a_class_without_objects_never_fires(caplog):
    regions, features = set_of(np.random.default_rng(4))
    svms = train_svms(regions, features, ("a", "b", "c"))
    assert "class 'c' has no objects" in caplog.text
    assert all((svms.margins(x)[:, 2] < -50).all() for x in features)


def test_difficult_objects_teach_nothing():
    hard = picture("h", boxes=[[0, 0, 9, 9], [20, 20, 39, 39]], labels=[1, 1], difficult=[True, False])
    one = Regions.of(hard, [[0, 0, 9, 9], [20, 20, 39, 35], [30, 0, 39, 9]])
    assert one.objects == 1 and one.labels.tolist() == [1]
    assert one.free_of(1, 0.3).tolist() == [False, False, False, True]
    assert one.free_of(2, 0.3).tolist() == [False, True, True, True]
    near, objects = one.near(0.6)
    assert near.tolist() == [2] and objects.tolist() == [0]


def test_what_cannot_be_learned(monkeypatch):
    regions, features = set_of(np.random.default_rng(5))
    with pytest.raises(DataError, match="all features are 0"):
        train_svms(regions, [0 * x for x in features], ("a", "b"))
    with pytest.raises(DataError, match="class 'a': every proposal of every picture"):
        train_svms(
            [Regions(r.picture, r.boxes[:1], 1) for r in regions], [x[:1] for x in features], ("a", "b")
        )
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(UsageError, match=r"pip install 'caffelite\[apps\]'"):
        train_svms(regions, features, ("a", "b"))


def test_pictures_without_proposals_are_named():
    with pytest.raises(DataError, match="1 of 1 pictures have no proposals, 'x'"):
        regions_of([picture("x", [])], {})
