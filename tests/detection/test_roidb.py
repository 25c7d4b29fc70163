"""Entries for training: boxes, mirror images, targets and how they are normalised."""

import logging

import numpy as np
import pytest

from caffelite.boxes.boxes import encode
from caffelite.detection.config import cfg
from caffelite.detection.roidb import make_roidb, normalisation, normalise, pictures_in
from caffelite.errors import DataError
from tests.detection.sets import dataset, picture


@pytest.fixture(autouse=True)
def _cfg():
    before = cfg.copied()
    yield
    cfg.restore(before)


def regions(*boxes):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return boxes, np.ones(len(boxes), np.float32)


def test_mirror_images_follow_and_their_boxes_are_mirrored():
    (plain, mirrored) = make_roidb(dataset(picture("a", [[10, 20, 29, 39]])), flipped=True, num_classes=2)
    assert not plain["flipped"] and mirrored["flipped"]
    assert mirrored["boxes"].tolist() == [[70, 20, 89, 39]]
    assert plain["boxes"].tolist() == [[10, 20, 29, 39]]


def test_difficult_objects_and_crowds_are_left_out():
    one = picture("a", [[0, 0, 9, 9], [5, 5, 20, 20]], difficult=[True, False])
    (entry,) = make_roidb(dataset(one), flipped=False, num_classes=2)
    assert entry["boxes"].tolist() == [[5, 5, 20, 20]]
    (entry,) = make_roidb(dataset(one), flipped=False, num_classes=2, difficult=True)
    assert len(entry["boxes"]) == 2


@pytest.mark.parametrize(
    ("box", "cured", "said"),
    [
        ([30, 5, 10, 20], [[10, 5, 30, 20]], "corners were exchanged"),
        ([-5, 5, 10, 120], [[0, 5, 10, 99]], "cut to their picture"),
        ([200, 5, 220, 20], [], "outside their picture were left out"),
        ([10, 5, 9, 20], [], "no width or height"),
        ([10, 5, 10, 5], [[10, 5, 10, 5]], ""),
    ],
)
def test_bad_boxes_are_cured_and_the_file_named(caplog, box, cured, said):
    with caplog.at_level(logging.WARNING):
        (entry,) = make_roidb(dataset(picture("a", [box], source="a.xml")), flipped=False, num_classes=2)
    assert entry["boxes"].tolist() == cured
    assert (said in caplog.text and "a.xml (1)" in caplog.text) if said else not caplog.text


def test_what_cannot_be_cured_names_all_files():
    bad = [picture(key, [[0, 0, np.nan, 9]], source=f"{key}.xml") for key in "ab"]
    with pytest.raises(DataError, match="(?s)a.xml: expected boxes of finite numbers.*b.xml"):
        make_roidb(dataset(*bad), flipped=False, num_classes=2)
    with pytest.raises(DataError, match="none.jpg: expected labels 1 to 1, got .2."):
        make_roidb(dataset(picture("a", [[0, 0, 9, 9]], labels=[2])), flipped=False, num_classes=2)
    with pytest.raises(DataError, match="no pictures"):
        make_roidb(dataset(), flipped=False, num_classes=2)


def test_targets_of_regions():
    one = picture("a", [[10, 10, 49, 49]])
    near, far = [12, 10, 51, 49], [60, 60, 80, 80]
    (entry,) = make_roidb(dataset(one), flipped=False, proposals={"a": regions(near, far)}, num_classes=2)
    assert entry["gt_classes"].tolist() == [1, 0, 0]
    assert entry["max_classes"].tolist() == [1, 1, 0]
    np.testing.assert_allclose(entry["max_overlaps"], [1, 38 / 42, 0])
    expected = encode(np.array([near], np.float32), one.boxes)
    np.testing.assert_allclose(entry["bbox_targets"], [[1, 0, 0, 0, 0], [1, *expected[0]], [0] * 5])


def test_regions_of_pictures_without_objects_are_background():
    cfg.TRAIN.BG_THRESH_LO = 0.1
    empty = dataset(picture("a", []), picture("b", []))
    entries = make_roidb(
        empty, flipped=False, proposals={"a": regions([0, 0, 9, 9]), "b": regions()}, num_classes=2
    )
    assert entries[0]["max_overlaps"].tolist() == [0.1]
    assert entries[1]["boxes"].tolist() == [[0, 0, 99, 99]]  # there is nothing else to look at
    assert not entries[0]["bbox_targets"].any()


def test_pictures_without_proposals_are_named():
    with pytest.raises(
        DataError, match="all 2 pictures of 'toys', got none for 1: b\n  Fix: caffelite det propose"
    ):
        two = dataset(picture("a", []), picture("b", []))
        make_roidb(two, flipped=False, proposals={"a": regions()}, num_classes=2)


def test_normalisation_is_that_of_each_class():
    rng = np.random.default_rng(1)
    rows = np.zeros((300, 5), np.float32)
    rows[:, 0] = rng.integers(0, 3, 300)
    rows[:, 1:] = rng.normal([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4], (300, 4)) * rows[:, :1]
    entries = [{"bbox_targets": rows[:100].copy()}, {"bbox_targets": rows[100:].copy()}]
    means, stds = normalisation(entries, 4)
    for label in (1, 2):
        codes = rows[rows[:, 0] == label, 1:].astype(np.float64)
        np.testing.assert_allclose(means[label], codes.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(stds[label], codes.std(axis=0), rtol=1e-6)
    assert stds[3].tolist() == list(cfg.TRAIN.BBOX_NORMALIZE_STDS)  # a class without regions divides by no 0
    normalise(entries, means, stds)
    together = np.concatenate([entry["bbox_targets"] for entry in entries])
    assert not together[together[:, 0] == 0, 1:].any()
    for label in (1, 2):
        codes = together[together[:, 0] == label, 1:]
        np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(codes.std(axis=0), 1, atol=1e-4)


def test_normalisation_as_the_settings_say():
    cfg.TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED = True
    means, stds = normalisation([], 3)
    assert stds[2].tolist() == [0.1, 0.1, 0.2, 0.2] and not means.any()
    cfg.TRAIN.BBOX_NORMALIZE_TARGETS = False
    means, stds = normalisation([], 3)
    assert (stds == 1).all()


def test_a_batch_in_words():
    one = picture("a", [[1, 2, 3, 4.5]])
    entries = make_roidb(dataset(one, picture("b", [])), flipped=True, num_classes=2)
    lines = list(pictures_in(entries))
    assert lines[0] == "none.jpg: class 1: (1, 2, 3, 4.5)"
    assert lines[1] == "none.jpg: no boxes"
    assert lines[2] == "none.jpg, mirrored: class 1: (96, 2, 98, 4.5)"
