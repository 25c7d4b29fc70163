"""MVN."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer

X = [[[1, 3], [10, 30]]]  # means 2 and 20, deviations 1 and 10


def test_worked_example():
    np.testing.assert_allclose(run_layer("MVN", "", [X]).y[0], [[[[-1], [1]], [[-1], [1]]]])
    plain = run_layer("MVN", "mvn_param { normalize_variance: false }", [X], dy=[[[[[1], [3]], [[0], [0]]]]])
    np.testing.assert_array_equal(plain.y[0], [[[[-1], [1]], [[-10], [10]]]])
    np.testing.assert_array_equal(plain.dx[0], [[[-1, 1], [0, 0]]])


def test_eps_is_added_to_the_deviation():
    np.testing.assert_allclose(run_layer("MVN", "mvn_param { eps: 1 }", [X]).y[0][0, 0, :, 0], [-0.5, 0.5])


@pytest.mark.parametrize("variance", ["true", "false"])
@pytest.mark.parametrize("across", ["true", "false"])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (2, 3, 7), (2, 5)])
def test_checks(variance, across, shape):
    check_layer("MVN", f"mvn_param {{ normalize_variance: {variance} across_channels: {across} }}", [shape])


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 7), (2, 3, 5, 4), (2, 3, 2, 2, 2)])
def test_tops_have_four_axes_as_caffes(shape):
    missing = 4 - len(shape)
    assert run_layer("MVN", "", [np.ones(shape)]).y[0].shape == (*shape, *(1,) * missing)


def test_in_place_the_axes_stay():
    layer = make_layer("MVN", "", 1, 1)
    layer.spec.top[0] = layer.spec.bottom[0]
    assert layer.infer([(2, 3)]) == [(2, 3)]
