"""PReLU."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer


def test_worked_example():
    run = run_layer("PReLU", "", [[[-2, 4], [3, -8]]], params={"W": [0.5, 0.25]}, dy=[10])
    np.testing.assert_array_equal(run.y[0], [[-1, 4], [3, -2]])
    np.testing.assert_array_equal(run.dx[0], [[5, 10], [10, 2.5]])
    np.testing.assert_array_equal(run.dparams["W"], [-20, -80])


@pytest.mark.parametrize(("shared", "slope"), [("false", (3,)), ("true", ())])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (4, 3), (2, 3, 4)])
def test_checks(shared, slope, shape):
    text = f"prelu_param {{ channel_shared: {shared} }}"
    layer = make_layer("PReLU", text)
    layer.infer([shape])
    assert (layer.params[0].shape, layer.params[0].value, layer.params[0].filler) == (slope, 0.25, None)
    check_layer("PReLU", text, [shape])


def test_one_axis(message):
    text = message("PReLU", "", [(3,)])
    assert text == "layer 'layer' (PReLU): expected x (N, C, *S) with at least 2 axes, got x=(3,)"


def test_zero_counts_as_negative():
    run = run_layer("PReLU", "", [[[0.0]]], params={"W": [0.5]}, dy=[10])
    np.testing.assert_array_equal(run.dx[0], [[5]])
