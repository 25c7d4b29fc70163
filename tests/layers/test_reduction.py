"""Reduction."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer

X = [[1, -2], [3, -4]]


@pytest.mark.parametrize(
    ("fields", "y", "gradient"),
    [
        ("", -2, [[1, 1], [1, 1]]),
        ("coeff: 3", -6, [[3, 3], [3, 3]]),
        ("operation: ASUM", 10, [[1, -1], [1, -1]]),
        ("operation: SUMSQ", 30, [[2, -4], [6, -8]]),
        ("operation: MEAN", -0.5, [[0.25, 0.25], [0.25, 0.25]]),
        ("axis: 1", [-1, -1], [[1, 1], [1, 1]]),
        ("axis: -1 operation: MEAN", [-0.5, -0.5], [[0.5, 0.5], [0.5, 0.5]]),
    ],
)
def test_worked_examples(fields, y, gradient):
    run = run_layer("Reduction", f"reduction_param {{ {fields} }}", [X], dy=[1])
    np.testing.assert_array_equal(run.y[0], y)
    np.testing.assert_array_equal(run.dx[0], gradient)


@pytest.mark.parametrize("operation", ["SUM", "ASUM", "SUMSQ", "MEAN"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_checks(operation, axis):
    check_layer("Reduction", f"reduction_param {{ operation: {operation} axis: {axis} coeff: 2 }}")
