from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caffelite.boxes.anchors import base_anchors, shifted
from caffelite.boxes.boxes import decode, encode, overlaps
from caffelite.boxes.nms import nms
from caffelite.boxes.targets import anchor_targets, by_class, proposal_targets, proposals

HEIGHT, WIDTH = 120, 160
ANCHORS = shifted(base_anchors(16, (0.5, 1, 2), (1, 2, 4)), 16, 8, 10)


def some_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    start = rng.uniform(0, 90, (count, 2))
    return np.concatenate([start, start + rng.uniform(10, 29, (count, 2))], axis=1).astype(np.float32)


# -- anchors --------------------------------------------------------------------------------------------


def slow_labels(gt: np.ndarray, border: float, positive: float, negative: float, clobber: bool) -> np.ndarray:
    """The rules, an anchor at a time."""
    labels = np.full(len(ANCHORS), -1)
    inner = [
        i
        for i, (x1, y1, x2, y2) in enumerate(ANCHORS)
        if x1 >= -border and y1 >= -border and x2 < WIDTH + border and y2 < HEIGHT + border
    ]
    shares = overlaps(ANCHORS, gt)
    best = [max((shares[i, j] for i in inner), default=0) for j in range(len(gt))]
    for i in inner:
        largest = max(shares[i], default=0)
        background = largest < negative
        object_ = largest >= positive or any(best[j] > 0 and shares[i, j] == best[j] for j in range(len(gt)))
        if background and (clobber or not object_):
            labels[i] = 0
        elif object_:
            labels[i] = 1
    return labels


@pytest.mark.parametrize("clobber", [False, True])
@pytest.mark.parametrize("border", [0, 8, 1000])
def test_labels_of_all_anchors(border: float, clobber: bool) -> None:
    rng = np.random.default_rng(int(border))
    for count in (1, 2, 7):
        gt = some_boxes(rng, count)
        options: dict[str, Any] = {"positive": 0.6, "negative": 0.35, "clobber": clobber}
        got = anchor_targets(
            ANCHORS, gt, HEIGHT, WIDTH, rng, batch=10**6, fg_fraction=1, allowed_border=border, **options
        )
        want = slow_labels(gt, border, **options)
        assert got.labels.tolist() == want.tolist()
        inner = np.flatnonzero(want >= 0)
        nearest = overlaps(ANCHORS, gt).argmax(axis=1)
        assert got.targets[inner] == pytest.approx(encode(ANCHORS[inner], gt[nearest[inner]]))
        assert (got.inside == (want == 1)[:, None]).all()
        assert got.outside[inner] == pytest.approx(1 / len(inner))
        assert not got.outside[want < 0].any()


def test_a_border_of_minus_one_takes_every_anchor() -> None:
    gt = np.float32([[10, 10, 40, 40]])
    rng = np.random.default_rng(0)
    all_, far = (
        anchor_targets(ANCHORS, gt, HEIGHT, WIDTH, rng, batch=10**6, allowed_border=border)
        for border in (-1, 10**6)
    )
    assert (all_.labels == far.labels).all()


def test_ties_for_a_box_are_all_objects() -> None:
    anchors = np.float32([[0, 0, 9, 9], [10, 0, 19, 9], [30, 30, 39, 39]])
    gt = np.float32([[5, 0, 14, 9]])  # a third of each of the first two
    got = anchor_targets(anchors, gt, 50, 50, np.random.default_rng(0))
    assert got.labels.tolist() == [1, 1, 0]


def test_a_box_that_no_anchor_meets_makes_no_object() -> None:
    """The original takes every anchor without overlap for an object."""
    anchors = np.float32([[0, 0, 9, 9], [10, 0, 19, 9]])
    gt = np.float32([[0, 0, 9, 9], [40, 40, 49, 49]])
    got = anchor_targets(anchors, gt, 50, 50, np.random.default_rng(0))
    assert got.labels.tolist() == [1, 0]


def test_an_image_without_boxes_is_background() -> None:
    got = anchor_targets(ANCHORS, np.zeros((0, 4), np.float32), HEIGHT, WIDTH, np.random.default_rng(0))
    assert (got.labels == 1).sum() == 0
    assert (got.labels == 0).sum() == 256
    assert not got.targets.any()
    assert not got.inside.any()
    assert set(np.unique(got.outside)) == {0, np.float32(1 / 256)}


def test_an_image_too_small_for_every_anchor() -> None:
    got = anchor_targets(ANCHORS, np.float32([[0, 0, 3, 3]]), 4, 4, np.random.default_rng(0))
    assert (got.labels == -1).all()
    assert not got.outside.any()


def test_as_many_of_each_as_asked_for() -> None:
    gt = some_boxes(np.random.default_rng(3), 6)
    options: dict[str, Any] = {"positive": 0.3, "negative": 0.2, "allowed_border": -1}
    full = anchor_targets(
        ANCHORS, gt, HEIGHT, WIDTH, np.random.default_rng(0), batch=10**6, fg_fraction=1, **options
    )
    drawn = [
        anchor_targets(
            ANCHORS, gt, HEIGHT, WIDTH, np.random.default_rng(seed), batch=20, fg_fraction=0.25, **options
        )
        for seed in (0, 0, 1)
    ]
    for one in drawn:
        assert ((one.labels == 1).sum(), (one.labels == 0).sum()) == (5, 15)
        assert (one.labels == full.labels)[one.labels >= 0].all()
        assert one.outside.sum(axis=0) == pytest.approx([1] * 4)
    assert (drawn[0].labels == drawn[1].labels).all()
    assert (drawn[0].labels != drawn[2].labels).any()


def test_weight_of_objects() -> None:
    gt = some_boxes(np.random.default_rng(3), 6)
    got = anchor_targets(
        ANCHORS,
        gt,
        HEIGHT,
        WIDTH,
        np.random.default_rng(0),
        positive_weight=0.75,
        inside_weights=(1, 2, 3, 4),
    )
    assert got.outside[got.labels == 1].sum(axis=0) == pytest.approx([0.75] * 4, rel=1e-4)
    assert got.outside[got.labels == 0].sum(axis=0) == pytest.approx([0.25] * 4, rel=1e-4)
    assert (got.inside[got.labels == 1] == [1, 2, 3, 4]).all()


# -- proposals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pre", "post"), [(6000, 300), (100, 20), (0, 0), (-1, 5)])
def test_proposals_step_by_step(pre: int, post: int) -> None:
    rng = np.random.default_rng(abs(pre))
    deltas = rng.normal(0, 0.2, (len(ANCHORS), 4)).astype(np.float32)
    scores = (rng.integers(0, 100, len(ANCHORS)) / 100).astype(np.float32)
    boxes, best = proposals(
        ANCHORS, deltas, scores, HEIGHT, WIDTH, min_size=24, pre=pre, post=post, threshold=0.6
    )
    rows = []
    for box, score in zip(decode(ANCHORS, deltas), scores, strict=True):
        x1, x2 = (min(max(x, np.float32(0)), np.float32(WIDTH - 1)) for x in box[[0, 2]])
        y1, y2 = (min(max(y, np.float32(0)), np.float32(HEIGHT - 1)) for y in box[[1, 3]])
        if x2 - x1 + 1 >= 24 and y2 - y1 + 1 >= 24:
            rows.append((x1, y1, x2, y2, score))
    rows.sort(key=lambda row: -row[4])
    table = np.array(rows[:pre] if pre > 0 else rows)
    table = table[nms(table[:, :4], table[:, 4], 0.6)]
    table = table[:post] if post > 0 else table
    assert boxes.tolist() == table[:, :4].tolist()
    assert best.tolist() == table[:, 4].tolist()


def test_no_proposal_is_large_enough() -> None:
    deltas, scores = np.zeros((len(ANCHORS), 4), np.float32), np.zeros(len(ANCHORS), np.float32)
    boxes, best = proposals(ANCHORS, deltas, scores, HEIGHT, WIDTH, min_size=1000)
    assert (boxes.shape, best.shape) == ((0, 4), (0,))


# -- head -----------------------------------------------------------------------------------------------


def test_targets_of_regions() -> None:
    gt, labels = np.float32([[10, 10, 29, 29], [60, 40, 99, 79]]), [3, 1]
    rois = np.float32(
        [[10, 10, 29, 24], [62, 40, 99, 79], [10, 10, 29, 17], [100, 100, 110, 110], [60, 40, 99, 58]]
    )
    got = proposal_targets(rois, gt, labels, np.random.default_rng(0), classes=4, batch=16, fg_fraction=0.5)
    assert got.chosen.tolist() == [0, 1, 5, 6, 2, 3, 4]
    assert got.labels.tolist() == [3, 1, 3, 1, 0, 0, 0]
    assert (got.rois == np.concatenate([rois, gt])[got.chosen]).all()
    targets = got.targets.reshape(7, 4, 4)
    assert (targets[[0, 1], [3, 1]] == encode(rois[:2], gt)).all()
    assert not targets[[2, 3]].any()
    assert targets[0, [0, 1, 2]].sum() == 0
    assert (got.inside == got.outside).all()
    assert got.inside.reshape(7, 4, 4).sum(axis=2).tolist() == [
        [0, 0, 0, 4], [0, 4, 0, 0], [0, 0, 0, 4], [0, 4, 0, 0], [0] * 4, [0] * 4, [0] * 4
    ]  # fmt: skip


def test_regions_that_are_neither() -> None:
    gt = np.float32([[0, 0, 99, 99]])
    rois = np.float32([[0, 0, 99, 49], [0, 0, 99, 44], [0, 0, 99, 9], [0, 0, 9, 9], [200, 200, 210, 210]])
    options: dict[str, Any] = {
        "classes": 2,
        "fg": 0.6,
        "append_gt": False,
    }  # overlaps 0.5, 0.45, 0.1, 0.01, 0
    chosen = [
        proposal_targets(rois, gt, [1], np.random.default_rng(0), bg=bg, **options).chosen.tolist()
        for bg in ((0.1, 0.5), (0.0, 0.5), (0.1, 0.51))
    ]
    assert chosen == [[1, 2], [1, 2, 3, 4], [0, 1, 2]]


def test_normalised_targets_and_weights() -> None:
    gt, rois = np.float32([[10, 10, 29, 29]]), np.float32([[8, 12, 29, 30]])
    got = proposal_targets(
        rois, gt, [1], np.random.default_rng(0), classes=2, append_gt=False, batch=4,
        means=(0.1, 0, 0, -0.1), stds=(0.1, 0.1, 0.2, 0.2), inside_weights=(1, 1, 0.5, 0),
    )  # fmt: skip
    code = (encode(rois, gt)[0].astype(np.float64) - [0.1, 0, 0, -0.1]) / [0.1, 0.1, 0.2, 0.2]
    assert got.targets[0].tolist() == [0] * 4 + code.astype(np.float32).tolist()
    assert got.inside[0].tolist() == [0] * 4 + [1, 1, 0.5, 0]
    assert got.outside[0].tolist() == [0] * 4 + [1, 1, 1, 0]


def test_a_quarter_at_most_has_objects() -> None:
    rng = np.random.default_rng(0)
    gt = some_boxes(rng, 3)
    rois = np.concatenate([np.repeat(gt, 40, axis=0) + np.float32([1, 0, 1, 0]), some_boxes(rng, 300)])
    drawn = [proposal_targets(rois, gt, [1, 2, 1], np.random.default_rng(s), classes=3) for s in (0, 0, 1)]
    for one in drawn:
        assert len(one.chosen) == len(set(one.chosen.tolist())) == 128
        assert (one.labels > 0).tolist() == [True] * 32 + [False] * 96
    assert (drawn[0].chosen == drawn[1].chosen).all()
    assert (drawn[0].chosen != drawn[2].chosen).any()


def test_all_candidates() -> None:
    rng = np.random.default_rng(0)
    gt, rois = some_boxes(rng, 2), some_boxes(rng, 50)
    got = proposal_targets(rois, gt, [1, 2], rng, classes=3, batch=0, fg_fraction=1)
    assert sorted(got.chosen.tolist()) == list(range(52))


def test_an_image_without_boxes_gives_background() -> None:
    rng = np.random.default_rng(0)
    none = np.zeros((0, 4), np.float32)
    got = proposal_targets(some_boxes(rng, 5), none, np.zeros(0), rng, classes=3)
    assert got.labels.tolist() == [0] * 5
    assert not got.targets.any()
    assert proposal_targets(
        some_boxes(rng, 5), none, np.zeros(0), rng, classes=3, bg=(0.1, 0.5)
    ).rois.shape == (0, 4)
    assert proposal_targets(none, none, np.zeros(0), rng, classes=3).targets.shape == (0, 12)


def test_only_the_columns_of_the_class() -> None:
    targets, inside = by_class(np.float32([[1, 2, 3, 4], [5, 6, 7, 8]]), np.array([0, 2]), 3)
    assert targets.tolist() == [[0] * 12, [0] * 8 + [5, 6, 7, 8]]
    assert inside.tolist() == [[0] * 12, [0] * 8 + [1] * 4]
