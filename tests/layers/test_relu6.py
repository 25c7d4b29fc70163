"""ReLU6."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer

X = [-2.0, 0.0, 3.0, 6.0, 7.0]


def test_worked_example():
    run = run_layer("ReLU6", "", [X], dy=[np.ones(5)])
    np.testing.assert_array_equal(run.y[0], [0, 0, 3, 6, 6])
    np.testing.assert_array_equal(run.dx[0], [0, 0, 1, 0, 0])


def test_slope():
    run = run_layer("ReLU6", "relu6_param { negative_slope: 0.5 }", [X], dy=[np.ones(5)])
    np.testing.assert_array_equal(run.y[0], [-1, 0, 3, 6, 6])
    np.testing.assert_array_equal(run.dx[0], [0.5, 0.5, 1, 0, 0])


def test_falling_slope():
    run = run_layer("ReLU6", "relu6_param { negative_slope: -4 }", [X], dy=[np.ones(5)])
    np.testing.assert_array_equal(run.y[0], [6, 0, 3, 6, 6])
    np.testing.assert_array_equal(run.dx[0], [0, -4, 1, 0, 0])


@pytest.mark.parametrize("slope", [0, 0.1, -0.1])
def test_checks(slope):
    check_layer("ReLU6", f"relu6_param {{ negative_slope: {slope} }}", low=-8, high=8)
