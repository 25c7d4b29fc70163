"""Eltwise."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


def eltwise(fields):
    return f"eltwise_param {{ {fields} }}"


@pytest.mark.parametrize(
    ("fields", "y", "gradients"),
    [
        ("", [4, 7], [[1, 1], [1, 1]]),
        ("coeff: 2 coeff: -1", [-1, 2], [[2, 2], [-1, -1]]),
        ("operation: PROD", [3, 12], [[3, 4], [1, 3]]),
        ("operation: PROD stable_prod_grad: false", [3, 12], [[3, 4], [1, 3]]),
        ("operation: MAX", [3, 4], [[0, 0], [1, 1]]),
    ],
)
def test_worked_examples(fields, y, gradients):
    run = run_layer("Eltwise", eltwise(fields), [[1, 3], [3, 4]], dy=[1])
    np.testing.assert_array_equal(run.y[0], y)
    np.testing.assert_array_equal(run.dx, gradients)


def test_ties():
    """The second goes before the first, but no later one before those: what Caffe does."""
    run = run_layer("Eltwise", eltwise("operation: MAX"), [[5], [5], [5]], dy=[1])
    assert [dx.item() for dx in run.dx] == [0, 1, 0]


def test_products_with_zeros():
    run = run_layer("Eltwise", eltwise("operation: PROD"), [[0], [2], [3]], dy=[1])
    assert [dx.item() for dx in run.dx] == [6, 0, 0]


@pytest.mark.parametrize("bottoms", [2, 3])
@pytest.mark.parametrize(
    "fields", ["", "operation: PROD", "operation: PROD stable_prod_grad: false", "operation: MAX"]
)
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (3, 7)])
def test_checks(bottoms, fields, shape):
    check_layer("Eltwise", eltwise(fields), [shape] * bottoms)


def test_checks_coefficients():
    check_layer("Eltwise", eltwise("coeff: 0.5 coeff: -2 coeff: 1"), [(2, 3, 5, 4)] * 3)


@pytest.mark.parametrize(
    ("fields", "shapes", "text"),
    [
        ("", [(2, 3)], "at least 2 bottoms, got 1"),
        ("coeff: 1", [(2, 3)] * 2, "one coeff for each of 2 bottoms, got 1"),
        ("operation: PROD coeff: 1 coeff: 1", [(2, 3)] * 2, "coeff only with SUM, got PROD"),
        ("", [(2, 3), (2, 4)], "bottoms of one shape, got x[0]=(2, 3), x[1]=(2, 4)"),
    ],
)
def test_bad_parameters(message, fields, shapes, text):
    assert message("Eltwise", eltwise(fields), shapes) == f"layer 'layer' (Eltwise): expected {text}"
