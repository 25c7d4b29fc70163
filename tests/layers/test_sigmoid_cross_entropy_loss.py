"""SigmoidCrossEntropyLoss."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer

X = np.log([[1.0, 3], [3, 1]])  # p = 1/2, 3/4; 3/4, 1/2
TARGET = [[1, 1], [0, 0]]


def loss(fields="", target=TARGET, **more):
    return run_layer("SigmoidCrossEntropyLoss", f"loss_param {{ {fields} }}", [X, target], **more)


def test_worked_example():
    run = loss(dy=[2.0])
    np.testing.assert_allclose(run.y[0], -np.log(0.5 * 0.75 * 0.25 * 0.5) / 2)
    np.testing.assert_allclose(run.dx[0], [[-0.5, -0.25], [0.75, 0.5]])


@pytest.mark.parametrize(
    ("fields", "divisor"),
    [
        ("", 2),
        ("normalization: FULL", 4),
        ("normalization: VALID ignore_label: 0", 2),
        ("normalization: VALID", 4),
        ("normalization: NONE", 1),
        ("normalize: true", 4),
        ("normalize: false", 2),
    ],
)
def test_divisors(fields, divisor):
    product = 0.5 * 0.75 * (1 if "ignore" in fields else 0.25 * 0.5)
    np.testing.assert_allclose(loss(fields).y[0], -np.log(product) / divisor)


def test_fractions_are_cut_before_they_are_ignored():
    run = loss("ignore_label: 0", target=[[1, 0.7], [-0.5, 0]], dy=[2.0])
    np.testing.assert_allclose(run.dx[0], [[-0.5, 0], [0, 0]])


def test_large_scores_do_not_overflow():
    run = run_layer("SigmoidCrossEntropyLoss", "", [[[1000, -1000, 1000]], [[1, 0, 0]]])
    assert run.y[0] == 1000


@pytest.mark.parametrize("normalization", ["VALID", "FULL", "BATCH_SIZE", "NONE"])
def test_checks(normalization):
    text = f"loss_param {{ ignore_label: 1 normalization: {normalization} }}"
    check_layer("SigmoidCrossEntropyLoss", text, [(3, 4), (3, 4)], labels={1: 3}, low=-3, high=3)


def test_checks_places():
    check_layer("SigmoidCrossEntropyLoss", "", [(2, 3, 4, 5), (2, 3, 4, 5)])
    check_layer("SigmoidCrossEntropyLoss", "", [(2, 6), (2, 3, 2)])


def test_shapes(message):
    assert message("SigmoidCrossEntropyLoss", "", [(3, 5), (3, 4)]) == (
        "layer 'layer' (SigmoidCrossEntropyLoss): expected x and target with as many items of as many elements, "
        "got x=(3, 5), target=(3, 4)"
    )


def test_weights():
    x, target = np.array([[0.0, 1, -2], [3, 0, 1]]), np.array([[1, 0, 0.5], [0, 1, 9]])
    text = "loss_param { ignore_label: 9 normalization: VALID }"
    plain = [
        run_layer("SigmoidCrossEntropyLoss", text, [x, t], dy=[1]) for t in (target, [[1, 0, 0.5], [9, 9, 9]])
    ]
    first = plain[1].y[0] * 3 / 5  # the loss of the first item alone
    item = run_layer("SigmoidCrossEntropyLoss", text, [x, target, [2, 0]], dy=[1])
    np.testing.assert_allclose(item.y[0], 2 * first)
    np.testing.assert_allclose(item.dx[0], plain[0].dx[0] * [[2], [0]])
    weight = np.array([[2, 0, 1], [0, -1, 5]])
    element = run_layer("SigmoidCrossEntropyLoss", text, [x, target, weight], dy=[1])
    np.testing.assert_allclose(element.dx[0], plain[0].dx[0] * weight)
    ones = run_layer("SigmoidCrossEntropyLoss", text, [x, target, np.ones((2, 3))], dy=[1])
    assert ones.y[0] == plain[0].y[0]
    np.testing.assert_array_equal(ones.dx[0], plain[0].dx[0])


@pytest.mark.parametrize("weight", [(3,), (3, 2, 3, 4)])
def test_checks_of_weights(weight):
    check_layer("SigmoidCrossEntropyLoss", "", [(3, 2, 3, 4), (3, 2, 3, 4), weight])


def test_wrong_number_of_weights(message):
    assert message("SigmoidCrossEntropyLoss", "", [(3, 4), (3, 4), (4,)]) == (
        "layer 'layer' (SigmoidCrossEntropyLoss): expected one weight for each of 12 elements, or for each of 3 items, "
        "got weight=(4,)"
    )
