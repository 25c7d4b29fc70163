"""ProposalTarget, against the functions that it is made of (which have oracles of their own)."""

import numpy as np
import pytest

from caffelite.boxes.targets import proposal_targets
from caffelite.errors import DataError, NetError, ShapeError
from caffelite.testing import check_layer, make_layer, run_layer

RNG = np.random.default_rng(0)
GT = np.array([[10, 10, 29, 29, 3], [60, 40, 99, 79, 1]], np.float32)
ROIS = np.array(
    [[0, 10, 10, 29, 24], [0, 62, 40, 99, 79], [0, 10, 10, 29, 17], [0, 100, 100, 110, 110]], np.float32
)


def run(text, rois=ROIS, gt=GT):
    return run_layer("ProposalTarget", f"proposal_target_param {{ {text} }}", [rois, gt], tops=5).y


def test_it_is_the_function():
    text = "num_classes: 4 batch_size: 64 fg_fraction: 0.5 bbox_std: 0.1 bbox_std: 0.1 bbox_std: 0.2 bbox_std: 0.2"
    rois, labels, targets, inside, outside = run(text)
    want = proposal_targets(
        ROIS[:, 1:],
        GT[:, :4],
        GT[:, 4].astype(int),
        RNG,
        classes=4,
        batch=64,
        fg_fraction=0.5,
        stds=(0.1, 0.1, 0.2, 0.2),
    )
    assert (rois == np.insert(want.rois, 0, 0, axis=1)).all()
    assert labels.tolist() == want.labels.tolist() == [3, 1, 3, 1, 0, 0]
    for got, values in ((targets, want.targets), (inside, want.inside), (outside, want.outside)):
        assert got.shape == (6, 16)
        assert (got == values).all()


def test_several_images():
    rois = np.concatenate([ROIS, ROIS + np.float32([2, 0, 0, 0, 0])])
    gt = np.concatenate([np.insert(GT, 0, 2, axis=1), np.insert(GT[:1], 0, 1, axis=1)])
    found, labels, targets, _, _ = run("num_classes: 4 batch_size: 0 fg_fraction: 1", rois, gt)
    assert found[:, 0].tolist() == [0] * 4 + [1] + [2] * 6
    assert labels.tolist() == [0] * 4 + [3] + [3, 1, 3, 1, 0, 0]
    assert not targets[:4].any()


def test_no_boxes_and_no_regions():
    none = np.zeros((0, 5), np.float32)
    assert run("num_classes: 4", gt=none)[1].tolist() == [0] * 4
    assert [y.shape for y in run("num_classes: 4", none, none)] == [(0, 5), (0,), (0, 16), (0, 16), (0, 16)]
    assert run("num_classes: 4", none)[1].tolist() == [3, 1]
    assert run("num_classes: 4 append_gt: false", none)[1].tolist() == []


def test_padding_is_left_out():
    padded = np.concatenate([GT, np.zeros((3, 5), np.float32)])
    for got, want in zip(run("num_classes: 4", gt=padded), run("num_classes: 4"), strict=True):
        assert (got == want).all()


def test_checks():
    text = "proposal_target_param { num_classes: 4 batch_size: 3 }"
    check_layer("ProposalTarget", text, [(1, 5), (2, 5)], tops=5, values={0: ROIS[:1], 1: GT})


@pytest.mark.parametrize(
    ("rois", "gt", "message"),
    [
        (ROIS, [[0, 0, 5, 5, 4]], r"expected labels up to 3 \(num_classes - 1\) in gt_boxes, got 4"),
        (ROIS, [[0, 6, 5, 5, 1]], "as row 0"),
        (ROIS - 1, GT, "expected image numbers of 0 or more in rois, got -1"),
        (ROIS + 1, GT, r"expected gt_boxes \(G, 6\)"),
    ],
)
def test_bad_values(rois, gt, message):
    with pytest.raises(DataError, match=f"layer 'layer' .*{message}"):
        run("num_classes: 4", rois, np.float32(gt))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected num_classes >= 2, got 0"),
        ("num_classes: 2 bbox_std: 1 bbox_std: 1 bbox_std: 1 bbox_std: 0", "expected bbox_std above 0"),
        ("num_classes: 2 bbox_mean: 1", "expected four times bbox_mean"),
        ("num_classes: 2 fg_fraction: -1", "expected fg_fraction from 0 to 1"),
    ],
)
def test_bad_parameters(text, message):
    with pytest.raises(NetError, match=message):
        make_layer("ProposalTarget", f"proposal_target_param {{ {text} }}", 2, 5)


def test_shapes_before_the_first_pass():
    layer = make_layer("ProposalTarget", "proposal_target_param { num_classes: 21 }", 2, 5)
    assert layer.infer([(300, 5), (1, 5)]) == [(128, 5), (128,), (128, 84), (128, 84), (128, 84)]
    with pytest.raises(ShapeError, match=r"rois \(K, 5\)"):
        layer.infer([(300, 4), (1, 5)])
