"""AnchorTarget, against the functions that it is made of (which have oracles of their own) and by hand."""

import numpy as np
import pytest

from caffelite.boxes.anchors import base_anchors, shifted
from caffelite.boxes.boxes import encode
from caffelite.boxes.targets import anchor_targets
from caffelite.errors import DataError, NetError, ShapeError
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.testing import check_layer, make_layer, run_layer

ONE = "ratio: 1 scale: 1"
ALL = f"anchor_target_param {{ {ONE} batch_size: 1000 fg_fraction: 1 }}"
SCORES = np.zeros((1, 2, 3, 4))
INFO = [[48, 64, 1]]
GT = np.array([[16, 0, 31, 15, 2], [33, 20, 46, 30, 1]])


def test_by_hand():
    run = run_layer("AnchorTarget", ALL, [SCORES, GT, INFO], tops=4)
    labels, targets, inside, outside = run.y
    assert labels.shape == (1, 1, 3, 4)
    assert targets.shape == inside.shape == outside.shape == (1, 4, 3, 4)
    want = np.zeros((3, 4))
    want[0, 1] = want[1, 2] = 1  # the second overlaps by 154 / 256, less than 0.7, but more than any other
    assert labels[0, 0].tolist() == want.tolist()
    assert (inside[0] == want).all()
    assert outside == pytest.approx(1 / 12)
    assert targets[0, :, 0, 1].tolist() == [0, 0, 0, 0]
    assert targets[0, :, 1, 2] == pytest.approx(
        encode(np.float32([[32, 16, 47, 31]]), GT[1:, :4].astype("f4"))[0]
    )


def test_channels_of_several_anchors():
    """Labels (1, 1, A H, W): anchor by anchor; targets (1, 4 A, H, W): the four numbers of an anchor together."""
    scores = np.zeros((1, 18, 5, 6))
    gt = np.array([[10, 10, 60, 70, 1]])
    text = "anchor_target_param { scale: 1 scale: 2 scale: 3 batch_size: 100000 fg_fraction: 1 }"
    labels, targets, inside, outside = run_layer("AnchorTarget", text, [scores, gt, [[80, 96, 1]]], tops=4).y
    anchors = shifted(base_anchors(scales=(1, 2, 3)), 16, 5, 6)
    want = anchor_targets(
        anchors, gt[:, :4].astype("f4"), 80, 96, np.random.default_rng(0), batch=100000, fg_fraction=1
    )
    for h, w, a in np.ndindex(5, 6, 9):
        row = (h * 6 + w) * 9 + a
        assert labels[0, 0, a * 5 + h, w] == want.labels[row]
        for top, values in ((targets, want.targets), (inside, want.inside), (outside, want.outside)):
            assert (top[0, 4 * a : 4 * a + 4, h, w] == values[row]).all()


def test_several_images():
    gt = np.concatenate([np.insert(GT, 0, 1, axis=1), [[0, 0, 0, 15, 15, 1], [0, 0, 0, 0, 0, 0]]])
    run = run_layer(
        "AnchorTarget", ALL, [np.zeros((3, 2, 3, 4)), gt, [[48, 64, 1], [48, 64, 1], [32, 32, 1]]], tops=4
    )
    alone = run_layer("AnchorTarget", ALL, [SCORES, GT, INFO], tops=4)
    for got, want in zip(run.y, alone.y, strict=True):
        assert (got[1:2] == want).all()
    assert run.y[0][0, 0].tolist() == [[1, 0, 0, 0], [0] * 4, [0] * 4]
    assert run.y[0][2, 0].tolist() == [[0, 0, -1, -1], [0, 0, -1, -1], [-1] * 4]
    assert run.y[3][2].max() == 0.25


def test_an_overlap_of_exactly_the_limit():
    """30 of 100 pixels are not below 0.3; the float32 next to 0.3 is above them."""
    text = f"{ONE} base_size: 10 feat_stride: 10 negative_overlap: 0.3 clobber_positives: true"
    bottoms = [SCORES, [[0, 0, 9, 2, 1]], INFO]
    labels = run_layer("AnchorTarget", f"anchor_target_param {{ {text} }}", bottoms, tops=4).y[0]
    assert labels[0, 0, 0].tolist() == [1, 0, 0, 0]


def test_checks():
    gt = np.array([[3, 5, 20, 25, 1], [30, 8, 50, 40, 2]])
    values = {1: gt, 2: INFO}
    shapes = [(1, 2, 3, 4), (2, 5), (1, 3)]
    check_layer(
        "AnchorTarget", f"anchor_target_param {{ {ONE} batch_size: 6 }}", shapes, tops=4, values=values
    )
    check_layer("AnchorTarget", ALL, [*shapes, (1, 3, 48, 64)], tops=4, values=values)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([5, 5, 4, 9, 1], r"got \(5, 5, 4, 9, 1\) as row 1"),
        ([5, np.nan, 9, 9, 1], r"got \(5, nan, 9, 9, 1\) as row 1"),
    ],
)
def test_bad_boxes(row, message):
    with pytest.raises(DataError, match=f"layer 'layer' .*expected boxes with x1 <= x2.* {message}"):
        run_layer("AnchorTarget", ALL, [SCORES, [GT[0], row], INFO], tops=4)


def test_several_images_need_numbers():
    with pytest.raises(DataError, match=r"expected gt_boxes \(G, 6\), the number of the image first"):
        run_layer("AnchorTarget", ALL, [np.zeros((2, 2, 3, 4)), GT, INFO * 2], tops=4)
    with pytest.raises(DataError, match="of images 0 to 1"):
        gt = np.insert(GT, 0, 2, axis=1)
        run_layer("AnchorTarget", ALL, [np.zeros((2, 2, 3, 4)), gt, INFO * 2], tops=4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_size: 0", "expected batch_size >= 1"),
        ("fg_fraction: 2", "expected fg_fraction from 0 to 1"),
        ("positive_weight: 1.5", "expected positive_weight from 0 to 1"),
        ("bbox_inside_weight: 1", "expected four times bbox_inside_weight, got 1"),
    ],
)
def test_bad_parameters(text, message):
    with pytest.raises(NetError, match=message):
        make_layer("AnchorTarget", f"anchor_target_param {{ {text} }}", 3, 4)


def test_bad_shapes():
    with pytest.raises(ShapeError, match=r"gt \(G, 5\)"):
        make_layer("AnchorTarget", ALL, 3, 4).infer([(1, 2, 3, 4), (2, 4), (1, 3)])


def test_the_choice_follows_the_seed_and_the_pass():
    text = """
layer { name: "in" type: "Input" top: "s" top: "g" top: "i"
  input_param { shape { dim: 1 dim: 2 dim: 9 dim: 9 } shape { dim: 1 dim: 5 } shape { dim: 1 dim: 3 } } }
layer { name: "t" type: "AnchorTarget" bottom: "s" bottom: "g" bottom: "i" top: "l" top: "t" top: "n" top: "o"
  anchor_target_param { ratio: 1 scale: 1 batch_size: 10 } }
"""

    def labels(seed):
        net = Model(parse_net(text), 0, seed=seed)
        net.input("g")[...], net.input("i")[...] = [[0, 0, 15, 15, 1]], [[144, 144, 1]]
        found = []
        for _ in range(2):
            net.forward()
            found.append(net.blob("l").copy())
        return found

    (a, b), (c, d), (e, _) = labels(1), labels(1), labels(2)
    assert (a == c).all() and (b == d).all()
    assert (a != b).any() and (a != e).any()
    assert all((one == 1).sum() == 1 and (one == 0).sum() == 9 for one in (a, b, e))
