"""Softmax."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


def test_worked_example():
    run = run_layer("Softmax", "", [np.log([[1, 2, 5], [3, 3, 2]])])
    np.testing.assert_allclose(run.y[0], [[0.125, 0.25, 0.625], [0.375, 0.375, 0.25]])


def test_large_scores_do_not_overflow():
    run = run_layer("Softmax", "", [[[1000, 1000]]])
    np.testing.assert_array_equal(run.y[0], [[0.5, 0.5]])


@pytest.mark.parametrize(
    ("axis", "shape"), [(1, (2, 5, 3, 4)), (1, (3, 4)), (0, (4, 3)), (-1, (2, 3, 4)), (2, (2, 3, 4, 5))]
)
def test_checks(axis, shape):
    check_layer("Softmax", f"softmax_param {{ axis: {axis} }}", [shape])


def test_axis_out_of_range(message):
    assert message("Softmax", "", [(3,)]) == (
        "layer 'layer' (Softmax): expected an axis from -1 to 0 for a bottom with 1 axes, got 1"
    )
