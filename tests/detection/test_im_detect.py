"""im_detect, and what is kept of it, against py-faster-rcnn's test.py written out in plain NumPy."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from caffelite.boxes.config import cfg
from caffelite.detection import im_detect
from caffelite.detection.one_image import View, best, features
from caffelite.detection.rpn_proposals import im_proposals
from caffelite.errors import DataError, NotFiniteError, UsageError

from .small_detectors import (
    FAST,
    FASTER,
    FASTER_MODULE,
    MODULE_SETTINGS,
    boxes,
    image,
    net_of,
)

MEANS = (102.9801, 115.9465, 122.7717)
VIEW = View(MEANS, (48,), 80)


@pytest.fixture(autouse=True)
def same_cfg():
    before = cfg.copied()
    yield
    cfg.restore(before)


# -- the reference -----------------------------------------------------------------------------------------------


def blob_of(im, scales, longest):
    shown, factors = [], []
    for target in scales:
        scale = target / min(im.shape[:2])
        if np.round(scale * max(im.shape[:2])) > longest:
            scale = longest / max(im.shape[:2])
        less = im.astype(np.float32) - np.float32(MEANS)
        shown.append(cv2.resize(less, None, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR))
        factors.append(scale)
    height, width = (max(one.shape[i] for one in shown) for i in (0, 1))
    blob = np.zeros((len(shown), 3, height, width), np.float32)
    for i, one in enumerate(shown):
        blob[i, :, : one.shape[0], : one.shape[1]] = one.transpose(2, 0, 1)
    return blob, factors


def run(net, **arrays):
    for name, array in arrays.items():
        net.blobs[name].reshape(*array.shape)
        net.blobs[name].data[...] = array
    net.forward()


def decoded(rois, deltas, im):
    found = np.zeros_like(deltas)
    for r in range(len(rois)):
        x1, y1, x2, y2 = rois[r]
        width, height = x2 - x1 + 1, y2 - y1 + 1
        for k in range(deltas.shape[1] // 4):
            dx, dy, dw, dh = deltas[r, 4 * k : 4 * k + 4]
            x, y = dx * width + x1 + width / 2, dy * height + y1 + height / 2
            w, h = np.exp(dw) * width, np.exp(dh) * height
            corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            last = [im.shape[1] - 1, im.shape[0] - 1] * 2
            found[r, 4 * k : 4 * k + 4] = [min(max(c, 0), m) for c, m in zip(corners, last, strict=True)]
    return found


def with_rpn(net, im):
    data, (scale,) = blob_of(im, (48,), 80)
    run(net, data=data, im_info=np.array([[*data.shape[2:], scale]], np.float32))
    rois = net.blobs["rois"].data[:, 1:] / scale
    return net.blobs["cls_prob"].data.copy(), decoded(rois, net.blobs["bbox_pred"].data, im)


def with_boxes(net, im, regions, scales=(48,), scores="cls_prob"):
    data, factors = blob_of(im, scales, 200)
    rows = []
    for x1, y1, x2, y2 in regions.astype(float):
        distances = [abs((x2 - x1 + 1) * (y2 - y1 + 1) * f * f - 224 * 224) for f in factors]
        level = int(np.argmin(distances)) if len(factors) > 1 else 0
        rows.append([level, *(np.array([x1, y1, x2, y2]) * factors[level])])
    run(net, data=data, rois=np.array(rows, np.float32))
    return net.blobs[scores].data.copy(), decoded(regions, net.blobs["bbox_pred"].data, im)


def suppressed(rows, threshold):
    """Rows score, x1, y1, x2, y2, best first."""
    left, kept = list(np.argsort(-rows[:, 0], kind="stable")), []
    area = (rows[:, 3] - rows[:, 1] + 1) * (rows[:, 4] - rows[:, 2] + 1)
    while left:
        first = left.pop(0)
        kept.append(first)
        for other in left[:]:
            w = min(rows[first, 3], rows[other, 3]) - max(rows[first, 1], rows[other, 1]) + 1
            h = min(rows[first, 4], rows[other, 4]) - max(rows[first, 2], rows[other, 2]) + 1
            common = max(w, 0) * max(h, 0)
            if common / (area[first] + area[other] - common) > threshold:
                left.remove(other)
    return kept


# -- im_detect ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(40, 52), (60, 33), (30, 200), (48, 48)])
@pytest.mark.parametrize("text", [FASTER, FASTER_MODULE], ids=["type", "module"])
def test_faster(tmp_path, text, size):
    cfg.merge({"TEST": MODULE_SETTINGS})
    net, im = net_of(tmp_path, text), image(*size)
    scores, found = im_detect(net, im, view=VIEW)
    expected = with_rpn(net, im)
    assert scores.shape == (len(scores), 4) and 0 < len(scores) <= 30
    np.testing.assert_allclose(scores, expected[0], rtol=1e-5)
    np.testing.assert_allclose(found, expected[1], rtol=1e-4, atol=1e-4)


def test_both_forms_of_the_proposal_layer_give_the_same(tmp_path):
    cfg.merge({"TEST": MODULE_SETTINGS | {"SCALES": (48,), "MAX_SIZE": 80}})
    a, b = (im_detect(net_of(tmp_path, text), image()) for text in (FASTER, FASTER_MODULE))
    for mine, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("scales", [(48,), (30, 60, 120)])
@pytest.mark.parametrize("count", [1, 25, 64, 65])
def test_fast(tmp_path, scales, count):
    net, im, regions = net_of(tmp_path, FAST), image(), boxes(count)
    view = View(MEANS, scales, 200, dedup=0)
    scores, found = im_detect(net, im, regions, view)
    expected = with_boxes(net, im, regions, scales)
    np.testing.assert_allclose(scores, expected[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found, expected[1], rtol=1e-4, atol=1e-4)


def test_several_scales_are_used(tmp_path):
    """Regions small and large are seen in different sizes of the image."""
    net, im = net_of(tmp_path, FAST), image()
    im_detect(net, im, np.array([[0, 0, 51, 39], [3, 3, 9, 9]]), View(MEANS, (30, 600), 2000, dedup=0))
    rois = net.blobs["rois"].data
    assert rois[0, 0] == 0 or rois[0, 3] > 200
    assert rois[1, 0] == 1
    assert net.blobs["data"].shape[0] == 2


def test_regions_that_are_nearly_the_same_are_seen_once(tmp_path):
    net, im = net_of(tmp_path, FAST), image()
    regions = np.array([[0, 0, 20, 20], [0, 0, 20.4, 20], [8, 8, 40, 30], [0, 0, 20, 20]], np.float32)
    scores, found = im_detect(net, im, regions, VIEW)
    assert scores.shape == (4, 4) and found.shape == (4, 16)
    for row in (1, 3):
        np.testing.assert_array_equal(scores[0], scores[row])
        np.testing.assert_array_equal(found[0], found[row])
    assert not np.allclose(scores[0], scores[2])
    assert not np.allclose(found[1], im_detect(net, im, regions, replace(VIEW, dedup=0))[1][1], atol=1e-6), (
        "without the hash each region has a code relative to itself"
    )


def test_without_box_regression_the_regions_come_back(tmp_path):
    regions = boxes()
    _, found = im_detect(
        net_of(tmp_path, FAST), image(), regions, View(MEANS, (48,), 80, bbox_reg=False, dedup=0)
    )
    np.testing.assert_array_equal(found, np.tile(regions, (1, 4)))


def test_svm_scores_are_margins(tmp_path):
    net, im, regions = net_of(tmp_path, FAST), image(), boxes()
    scores, _ = im_detect(net, im, regions, View(MEANS, (48,), 200, svm=True, dedup=0))
    np.testing.assert_allclose(scores, with_boxes(net, im, regions, scores="cls_score")[0], rtol=1e-4)
    assert scores.min() < 0


def test_cfg_says_how_images_are_shown(tmp_path):
    net, im = net_of(tmp_path, FAST), image()
    cfg.TEST.SCALES, cfg.TEST.MAX_SIZE, cfg.DEDUP_BOXES = (30,), 200, 0.0
    np.testing.assert_allclose(
        im_detect(net, im, boxes())[0], with_boxes(net, im, boxes(), (30,))[0], rtol=1e-5
    )
    cfg.PIXEL_MEANS = (0, 0, 0)
    assert not np.allclose(im_detect(net, im, boxes())[0], with_boxes(net, im, boxes(), (30,))[0], rtol=1e-3)


def test_no_regions(tmp_path):
    scores, found = im_detect(net_of(tmp_path, FAST), image(), np.zeros((0, 4)), VIEW)
    assert scores.shape == (0, 4) and found.shape == (0, 16)


def test_a_net_that_proposes_nothing(tmp_path):
    net = net_of(tmp_path, FASTER.replace("min_size: 3", "min_size: 1000"))
    scores, found = im_detect(net, image(), view=VIEW)
    assert scores.shape == (0, 4) and found.shape == (0, 16)
    assert im_detect(net, image(30, 70), view=VIEW)[0].shape == (0, 4)


def test_a_model_does_as_well_as_a_net(tmp_path):
    net = net_of(tmp_path, FASTER)
    np.testing.assert_array_equal(
        im_detect(net.model, image(), view=VIEW)[0], im_detect(net, image(), view=VIEW)[0]
    )


def test_features(tmp_path):
    net, im, regions = net_of(tmp_path, FAST), image(), boxes()
    rows = features(net, im, regions, "fc6", replace(VIEW, dedup=0))
    with_boxes(net, im, regions)
    np.testing.assert_allclose(rows, net.blobs["fc6"].data, rtol=1e-4, atol=1e-6)
    assert features(net, im, regions[:0], "fc6", VIEW).shape == (0, 16)


# -- what cannot be ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "im", ["photo.jpg", np.zeros((4, 4)), np.zeros((4, 4, 4)), np.zeros((0, 4, 3)), None]
)
def test_what_is_no_image(tmp_path, im):
    with pytest.raises(DataError, match=r"expected an image \(H, W, 3\)"):
        im_detect(net_of(tmp_path, FASTER), im)


@pytest.mark.parametrize("regions", [np.zeros((3, 5)), np.zeros(4), [[0, 0, np.nan, 3]]])
def test_what_are_no_boxes(tmp_path, regions):
    with pytest.raises(DataError, match="expected boxes"):
        im_detect(net_of(tmp_path, FAST), image(), regions)


def test_a_fast_rcnn_needs_boxes(tmp_path):
    with pytest.raises(UsageError, match="it needs boxes\n  Fix: .*propose"):
        im_detect(net_of(tmp_path, FAST), image())


def test_a_faster_rcnn_takes_no_boxes(tmp_path):
    with pytest.raises(UsageError, match=r"finds its own regions: expected no boxes, got \(25, 4\)"):
        im_detect(net_of(tmp_path, FASTER), image(), boxes())


def test_a_net_with_one_box_for_all_classes(tmp_path):
    before, _, after = FAST.rpartition("num_output: 16")
    fewer = f"{before}num_output: 8{after}"
    with pytest.raises(
        UsageError, match=r"expected bbox_pred \(R, 16\), a box for each of the 4 classes of cls_prob"
    ):
        im_detect(net_of(tmp_path, fewer), image(), boxes())


def test_the_same_place_at_another_scale_is_another_region(tmp_path):
    net, view = net_of(tmp_path, FAST), replace(VIEW, scales=(40, 400), max_size=4000, dedup=1e-4)
    both = np.float32([[0, 0, 3, 3], [0, 0, 51, 39]])  # best seen at the larger and at the smaller scale
    together = im_detect(net, image(), both, view)[0]
    for k in range(2):
        np.testing.assert_allclose(
            together[k], im_detect(net, image(), both[k : k + 1], view)[0][0], rtol=1e-5
        )


def test_a_net_that_finds_its_own_takes_one_scale(tmp_path):
    with pytest.raises(UsageError, match="expected one scale, got \\(30, 60\\)"):
        im_detect(net_of(tmp_path, FASTER), image(), view=View(MEANS, (30, 60), 80))


def test_a_net_of_no_detector(tmp_path):
    text = 'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 } layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    with pytest.raises(UsageError, match="expected inputs data and im_info or rois, got data"):
        im_detect(net_of(tmp_path, text), image())


def test_blobs_of_other_names_are_told(tmp_path):
    net = net_of(tmp_path, FASTER.replace('"bbox_pred"', '"bbox_prd"'))
    with pytest.raises(
        UsageError, match="expected a blob 'bbox_pred', there is none; did you mean 'bbox_prd'"
    ):
        im_detect(net, image(), view=VIEW)


# -- what is kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("score", "nms", "limit"), [(0.05, 0.3, 100), (0.3, 0.5, 7), (0.0, 0.0, 5)])
def test_best(score, nms, limit):
    rng = np.random.default_rng(2)
    scores = rng.dirichlet(np.ones(4), 60).astype(np.float32)
    found = np.concatenate([boxes(60, seed=k) for k in range(4)], axis=1)
    expected = []
    for label in range(1, 4):
        rows = np.column_stack([scores[:, label], found[:, 4 * label : 4 * label + 4]])
        rows = rows[rows[:, 0] > score]
        expected += [(label, *rows[i]) for i in suppressed(rows, nms)]
    if len(expected) > limit:
        least = sorted(row[1] for row in expected)[-limit]
        expected = [row for row in expected if row[1] >= least]
    rows = best(scores, found, score=score, nms=nms, limit=limit)
    np.testing.assert_array_equal(rows, np.float32(sorted(expected, key=lambda row: -row[1])))
    assert rows.dtype == np.float32


@pytest.mark.parametrize("part", [0, 1])
def test_a_detector_that_has_diverged_does_not_find_nothing(part):
    answers = [np.ones((2, 4), np.float32), np.ones((2, 16), np.float32)]
    answers[part][1, 3] = np.nan
    with pytest.raises(NotFiniteError, match="NaN in the scores or boxes.*\n  Fix: "):
        best(*answers, score=0.5, nms=0.3, limit=100)


def test_equal_scores_at_the_limit_stay_together():
    scores = np.float32([[0.5, 0.5], [0.5, 0.5], [0.1, 0.9]])
    found = np.float32([[0, 0, 1, 1] * 2, [10, 10, 12, 12] * 2, [30, 30, 31, 31] * 2])
    assert len(best(scores, found, score=0, nms=0.5, limit=2)) == 3
    assert len(best(scores, found, score=0, nms=0.5, limit=0)) == 3
    assert best(scores[:0], found[:0], score=0, nms=0.5, limit=2).shape == (0, 6)


# -- proposals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [FASTER, FASTER_MODULE], ids=["type", "module"])
def test_im_proposals_are_the_layers_rois_in_pixels_of_the_image(tmp_path, text):
    cfg.merge({"TEST": MODULE_SETTINGS | {"SCALES": (48,), "MAX_SIZE": 80}})
    net, im = net_of(tmp_path, text), image()
    found, scores = im_proposals(net, im, pre=120, post=30)
    with_rpn(net, im)
    np.testing.assert_allclose(found, net.blobs["rois"].data[:, 1:] / 1.2, rtol=1e-5)
    assert scores.shape == (len(found),) and (np.diff(scores) <= 0).all()
    more, _ = im_proposals(net, im, pre=-1, post=2000)
    assert len(more) > len(found)


def test_a_net_without_proposals(tmp_path):
    with pytest.raises(UsageError, match="has no proposal layer"):
        im_proposals(net_of(tmp_path, FAST), image())
