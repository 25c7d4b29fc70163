"""BoxAnnotatorOHEM, SmoothL1LossOHEM and SoftmaxWithLossOHEM: online hard example mining of R-FCN."""

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.testing import check_layer, run_layer

PRE_FIXED = "normalization: PRE_FIXED pre_fixed_normalizer: 128"


def annotate(rois, losses, labels, weights, keep=2):
    text = f"box_annotator_ohem_param {{ roi_per_img: {keep} }}"
    return run_layer("BoxAnnotatorOHEM", text, [rois, losses, labels, weights], tops=2).y


def rois_of(*images):
    return [[image, 0, 0, 9, 9] for image in images]


def test_the_largest_losses_of_each_image_stay():
    losses = [3, 1, 2, 5, 5, 5]
    labels, weights = annotate(rois_of(0, 0, 0, 1, 1, 1), losses, [1, 2, 3, 4, 5, 6], np.ones((6, 4)))
    np.testing.assert_array_equal(labels.ravel(), [1, -1, 3, 4, 5, -1])
    np.testing.assert_array_equal(weights[:, 0, 0, 0], [1, 0, 1, 1, 1, 0])
    assert labels.shape == (6, 1, 1, 1)
    assert weights.shape == (6, 4, 1, 1)


def test_images_may_be_mixed_and_have_fewer_regions():
    labels, _ = annotate(rois_of(2, 0, 2, 2), [1, 0, 3, 2], [7, 8, 9, 6], np.ones((4, 1)))
    np.testing.assert_array_equal(labels.ravel(), [-1, 8, 9, 6])


def test_spatial_axes():
    rng = np.random.default_rng(0)
    rois = np.zeros((2, 5, 2, 3))
    rois[1, 0] = 1
    losses, labels = rng.permutation(12).reshape(2, 1, 2, 3), rng.integers(1, 5, (2, 1, 2, 3))
    weights = rng.normal(size=(2, 3, 2, 3))
    hard_labels, hard_weights = annotate(rois, losses, labels, weights, keep=4)
    for image in range(2):
        stay = losses[image] >= np.sort(losses[image].ravel())[-4]
        np.testing.assert_array_equal(hard_labels[image], np.where(stay, labels[image], -1))
        np.testing.assert_array_equal(hard_weights[image], weights[image] * stay)


def test_no_regions_to_choose_from():
    labels, weights = annotate(np.zeros((0, 5)), np.zeros(0), np.zeros(0), np.zeros((0, 8)))
    assert labels.shape == (0, 1, 1, 1)
    assert weights.shape == (0, 8, 1, 1)


def test_annotator_checks(message):
    shapes = [(3, 5), (3, 1, 1, 1), (3,), (3, 8)]
    assert "roi_per_img >= 1, got 0" in message(
        "BoxAnnotatorOHEM", "box_annotator_ohem_param { roi_per_img: 0 }", shapes, tops=2
    )
    shapes[2] = (4,)
    assert "expected rois (R, 5), losses (R, 1)" in message(
        "BoxAnnotatorOHEM", "box_annotator_ohem_param { roi_per_img: 1 }", shapes, tops=2
    )
    with pytest.raises(DataError, match="expected batch indices of 0 or more in rois, got -1 as roi 1"):
        annotate(rois_of(0, -1), [1, 1], [1, 1], np.ones((2, 4)))


@pytest.mark.parametrize("bottoms", [2, 3])
@pytest.mark.parametrize("shape", [(3, 8), (2, 4, 3, 5)])
def test_smooth_l1_checks(bottoms, shape):
    check_layer("SmoothL1LossOHEM", "", [shape] * bottoms, tops=2, low=-2, high=2)


@pytest.mark.parametrize(
    ("fields", "divisor"),
    [
        ("", 6),
        ("normalization: FULL", 6),
        ("normalization: BATCH_SIZE", 2),
        ("normalization: NONE", 1),
        (PRE_FIXED, 128),
    ],
)
def test_smooth_l1_divisors(fields, divisor):
    x = [[[[3.0, 0, 1]], [[0, 0.5, 0]]], [[[0, 0, 0]], [[-2, 0, 0]]]]  # (2, 2, 1, 3)
    run = run_layer(
        "SmoothL1LossOHEM", f"loss_param {{ {fields} }}", [x, np.zeros((2, 2, 1, 3))], tops=2, dy=[1, 0]
    )
    np.testing.assert_array_equal(run.y[1], [[[[2.5, 0.125, 0.5]]], [[[1.5, 0, 0]]]])
    assert run.y[0].item() == pytest.approx(4.625 / divisor)
    np.testing.assert_allclose(run.dx[0].ravel(), np.array([1, 0, 1, 0, 0.5, 0, 0, 0, 0, -1, 0, 0]) / divisor)


@pytest.mark.parametrize("tops", [1, 2, 3])
def test_softmax_checks(tops):
    check_layer(
        "SoftmaxWithLossOHEM",
        "loss_param { ignore_label: 1 }",
        [(3, 4, 2, 3), (3, 1, 2, 3)],
        tops=tops,
        labels={1: 4},
    )


@pytest.mark.parametrize(("fields", "divisor"), [("", 2), (PRE_FIXED, 128)])
def test_softmax_gives_the_loss_of_each_label(fields, divisor):
    scores = np.log([[1.0, 3.0], [3.0, 1.0], [1.0, 1.0]])
    text = f"loss_param {{ ignore_label: -1 {fields} }}"
    run = run_layer("SoftmaxWithLossOHEM", text, [scores, [1, -1, 0]], tops=3, dy=[1, 0, 0])
    losses = -np.log([0.75, 1, 0.5])
    np.testing.assert_allclose(run.y[2], losses.reshape(3, 1, 1, 1))
    np.testing.assert_allclose(run.y[1], np.exp(scores) / np.exp(scores).sum(1, keepdims=True))
    assert run.y[0].item() == pytest.approx(losses.sum() / divisor)
    np.testing.assert_allclose(run.dx[0][0], np.array([0.25, -0.25]) / divisor)


NET = """
layer { name: "in" type: "Input" top: "rois" top: "scores" top: "labels" top: "boxes" top: "targets" top: "inside"
  input_param { shape { dim: 4 dim: 5 } shape { dim: 4 dim: 3 dim: 1 dim: 1 } shape { dim: 4 }
    shape { dim: 4 dim: 8 dim: 1 dim: 1 } shape { dim: 4 dim: 8 } shape { dim: 4 dim: 8 } } }
layer { name: "cls" type: "SoftmaxWithLossOHEM" bottom: "scores" bottom: "labels" top: "l" top: "prob" top: "cls"
  loss_weight: 0 loss_weight: 0 loss_weight: 0 propagate_down: false propagate_down: false }
layer { name: "box" type: "SmoothL1LossOHEM" bottom: "boxes" bottom: "targets" bottom: "inside" top: "b" top: "box"
  loss_weight: 0 loss_weight: 0 propagate_down: false propagate_down: false propagate_down: false }
layer { name: "sum" type: "Eltwise" bottom: "cls" bottom: "box" top: "each" propagate_down: false propagate_down: false }
layer { name: "hard" type: "BoxAnnotatorOHEM" bottom: "rois" bottom: "each" bottom: "labels" bottom: "inside"
  top: "hard_labels" top: "hard_inside" box_annotator_ohem_param { roi_per_img: 2 } propagate_down: false
  propagate_down: false propagate_down: false propagate_down: false }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "hard_labels" top: "loss"
  loss_param { ignore_label: -1 } }
layer { name: "loss_box" type: "SmoothL1LossOHEM" bottom: "boxes" bottom: "targets" bottom: "hard_inside" top: "loss_box"
  loss_weight: 1 loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 2 } }
force_backward: true
"""


def test_the_chain_of_r_fcn():
    model = Model(parse_net(NET), engine="reference")
    rng = np.random.default_rng(0)
    scores, boxes = rng.normal(size=(4, 3)), rng.normal(size=(4, 8)) * 2
    labels, inside = np.array([0, 1, 2, 1]), np.repeat([[1.0], [0], [1], [1]], 8, axis=1)
    values = {"rois": np.zeros((4, 5)), "scores": scores.reshape(4, 3, 1, 1), "labels": labels}
    values |= {"boxes": boxes.reshape(4, 8, 1, 1), "targets": np.zeros((4, 8)), "inside": inside}
    for name, value in values.items():
        model.input(name)[...] = value
    loss = model.forward()
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    d = np.abs(inside * boxes)
    cls, box = -np.log(p[range(4), labels]), np.where(d < 1, d * d / 2, d - 0.5).sum(1)
    hard = np.argsort(-(cls + box))[:2]
    assert loss == pytest.approx(cls[hard].mean() + box[hard].sum() / 2)
