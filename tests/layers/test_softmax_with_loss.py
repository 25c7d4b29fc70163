"""SoftmaxWithLoss."""

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.testing import check_layer, run_layer

SCORES = np.log([[1.0, 3.0], [3.0, 1.0], [1.0, 1.0]])  # p = (1/4, 3/4), (3/4, 1/4), (1/2, 1/2)


def loss(fields="", labels=(1, 0, 1), **more):
    return run_layer("SoftmaxWithLoss", f"loss_param {{ {fields} }}", [SCORES, labels], **more)


def test_worked_example():
    run = loss(dy=[3.0])
    np.testing.assert_allclose(run.y[0], -np.log(0.75 * 0.75 * 0.5) / 3)
    np.testing.assert_allclose(run.dx[0], [[0.25, -0.25], [-0.25, 0.25], [0.5, -0.5]])


@pytest.mark.parametrize(
    ("fields", "divisor"),
    [
        ("", 3),
        ("ignore_label: 0", 2),
        ("normalization: FULL ignore_label: 0", 3),
        ("normalization: BATCH_SIZE", 3),
        ("normalization: NONE", 1),
        ("normalize: true ignore_label: 0", 2),
        ("normalize: false ignore_label: 0", 3),
        ("normalize: false normalization: NONE", 1),
    ],
)
def test_divisors(fields, divisor):
    kept = 0.75 * 0.5 * (1 if "ignore" in fields else 0.75)
    np.testing.assert_allclose(loss(fields).y[0], -np.log(kept) / divisor)


def test_all_ignored_is_zero():
    run = loss("ignore_label: 9", labels=(9, 9, 9), dy=[1.0])
    assert run.y[0] == 0
    assert not run.dx[0].any()


def test_cap_and_cut():
    run = run_layer("SoftmaxWithLoss", "", [[[0.0, 1000.0]], [0.9]])  # 0.9 is label 0
    np.testing.assert_allclose(run.y[0], 87.33654, rtol=1e-6)


def test_second_top_holds_the_probabilities():
    run = loss(tops=2)
    np.testing.assert_allclose(run.y[1], [[0.25, 0.75], [0.75, 0.25], [0.5, 0.5]])


@pytest.mark.parametrize("normalization", ["VALID", "FULL", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize("tops", [1, 2])
def test_checks(normalization, tops):
    text = f"loss_param {{ ignore_label: 1 normalization: {normalization} }}"
    check_layer("SoftmaxWithLoss", text, [(3, 4), (3,)], labels={1: 4}, tops=tops)


def test_checks_places():
    check_layer("SoftmaxWithLoss", "", [(2, 4, 3, 5), (2, 1, 3, 5)], labels={1: 4})
    check_layer("SoftmaxWithLoss", "softmax_param { axis: 2 }", [(2, 3, 4), (2, 3)], labels={1: 4})
    check_layer("SoftmaxWithLoss", "softmax_param { axis: -1 }", [(2, 3, 4), (6,)], labels={1: 4})


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (2, "got 2 at index 1\n  Fix: the layer below should have num_output of at least 3"),
        (-1, "got -1 at index 1"),
        (float("nan"), "got nan at index 1"),
    ],
)
def test_label_out_of_range(label, text):
    with pytest.raises(DataError) as caught:
        loss(labels=(1, label, 0))
    before, after = str(caught.value).split(": ", 1)
    assert before.startswith("layer 'layer' (SoftmaxWithLoss) at <text>:1:1")
    assert after == f"expected labels from 0 to 1 (2 classes), {text}"


def test_label_out_of_range_with_ignore_label():
    with pytest.raises(
        DataError, match=r"expected labels from 0 to 1 \(2 classes\) or ignore_label 255, got 7 at index 0"
    ):
        loss("ignore_label: 255", labels=(7, 255, 0))


def test_wrong_number_of_labels(message):
    assert message("SoftmaxWithLoss", "", [(3, 4), (3, 4)]) == (
        "layer 'layer' (SoftmaxWithLoss): expected one label for each of 3 predictions (all axes of x but axis 1), "
        "got x=(3, 4), label=(3, 4)\n  Fix: labels are class numbers, (N,) or (N, 1, H, W), not one-hot vectors"
    )


@pytest.mark.parametrize(
    ("fields", "labels", "cut"),
    [("", (-0.5, 0, 1), (0, 0, 1)), ("ignore_label: 0", (1, 0.7, 0.2), (1, 0, 0))],
)
def test_labels_are_cut_before_they_are_judged(fields, labels, cut):
    assert loss(fields, labels).y[0] == loss(fields, cut).y[0]
