"""Bias."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


def test_worked_example():
    run = run_layer("Bias", "", [[[1, 2], [3, 4]]], params={"b": [10, 20]}, dy=[[[1, 0], [2, 1]]])
    np.testing.assert_array_equal(run.y[0], [[11, 22], [13, 24]])
    np.testing.assert_array_equal(run.dx[0], [[1, 0], [2, 1]])
    np.testing.assert_array_equal(run.dparams["b"], [3, 1])


@pytest.mark.parametrize("fields", ["", "axis: 0 num_axes: 2", "axis: 2 num_axes: -1", "num_axes: 0"])
def test_checks(fields):
    check_layer("Bias", f"bias_param {{ {fields} }}")


@pytest.mark.parametrize(("axis", "second"), [(0, (2, 3)), (1, (3,)), (2, (5, 4)), (0, ())])
def test_two_bottoms(axis, second):
    check_layer("Bias", f"bias_param {{ axis: {axis} }}", [(2, 3, 5, 4), second])


def test_shape_that_does_not_lie_along_x(message):
    text = message("Bias", "", [(2, 3), (2,)])
    assert (
        text
        == "layer 'layer' (Bias): expected bias of the shape that x has from axis 1 on, got x=(2, 3), bias=(2,)"
    )
