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
