"""ReLU."""

import numpy as np
import pytest

from caffelite.layers.base import argument_names
from caffelite.testing import check_layer, make_layer, run_layer


def test_worked_example():
    run = run_layer("ReLU", "", [[-2, 0, 3]], dy=[[10, 20, 30]])
    np.testing.assert_array_equal(run.y[0], [0, 0, 3])
    np.testing.assert_array_equal(run.dx[0], [0, 0, 30])  # 0 at 0


def test_worked_slope():
    run = run_layer("ReLU", "relu_param { negative_slope: 0.5 }", [[-2, 0, 3]], dy=[[10, 20, 30]])
    np.testing.assert_array_equal(run.y[0], [-1, 0, 3])
    np.testing.assert_array_equal(run.dx[0], [5, 10, 30])


@pytest.mark.parametrize("slope", [0, 0.25, -0.5])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (3, 7), (5,), ()])
def test_checks(slope, shape):
    check_layer("ReLU", f"relu_param {{ negative_slope: {slope} }}", [shape])


def test_reads_only_what_it_needs():
    assert "x" not in argument_names(make_layer("ReLU").backward)
    assert "x" in argument_names(make_layer("ReLU", "relu_param { negative_slope: -1 }").backward)
