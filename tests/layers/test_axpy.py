"""Axpy."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer

SHAPE = (2, 3, 4, 5)


def test_worked_example():
    a, x, shift = [[2.0, 3.0]], [[[1.0, 2], [3, 4]]], [[[10.0, 10], [20, 20]]]
    run = run_layer("Axpy", "", [a, x, shift], dy=[1])
    np.testing.assert_array_equal(run.y[0], [[[12, 14], [29, 32]]])
    np.testing.assert_array_equal(run.dx[0], [[3, 7]])
    np.testing.assert_array_equal(run.dx[1], [[[2, 2], [3, 3]]])
    np.testing.assert_array_equal(run.dx[2], np.ones((1, 2, 2)))


@pytest.mark.parametrize("a", [(2, 3), (2, 3, 1, 1)])
def test_checks(a):
    check_layer("Axpy", "", [a, SHAPE, SHAPE])


def test_bad_shapes(message):
    assert message("Axpy", "", [(2, 4), SHAPE, SHAPE]).endswith("got a=(2, 4), x=(2, 3, 4, 5)")
    assert message("Axpy", "", [(2, 3, 1, 2), SHAPE, SHAPE]).endswith("got a=(2, 3, 1, 2), x=(2, 3, 4, 5)")
    assert message("Axpy", "", [(2, 3), SHAPE, (2, 3, 4, 4)]) == (
        "layer 'layer' (Axpy): expected a third bottom of the second one's shape, got x=(2, 3, 4, 5), shift=(2, 3, 4, 4)"
    )
