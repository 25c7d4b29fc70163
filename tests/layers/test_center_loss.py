"""CenterLoss."""

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.testing import run_layer

X = [[1.0, 2.0], [3.0, 4.0], [5.0, 8.0]]
CENTRES = [[0.0, 0.0], [1.0, 1.0], [9.0, 9.0]]


def run(**more):
    text = "center_loss_param { num_output: 3 }"
    return run_layer("CenterLoss", text, [X, [1, 0, 1]], params={"W": CENTRES}, **more)


def test_half_the_squared_distances_to_the_centres():
    found = run(dy=[np.array(2.0)])
    assert float(found.y[0]) == (0 + 1 + 9 + 16 + 16 + 49) / 6
    np.testing.assert_allclose(found.dx[0], np.array([[0, 1], [3, 4], [4, 7]]) * 2 / 3)


def test_centres_move_to_the_mean_of_their_items_and_one_more():
    found = run(dy=[np.array(2.0)])
    np.testing.assert_allclose(found.dparams["W"], [[-3 / 2, -4 / 2], [-4 / 3, -8 / 3], [0, 0]])


def test_the_gradient_of_items_is_the_losss():
    rng = np.random.default_rng(0)
    x, step = rng.normal(size=(2, 4, 2, 3))
    text = 'center_loss_param { num_output: 5 center_filler { type: "gaussian" } }'
    plus, minus = (run_layer("CenterLoss", text, [x + s * step, [0, 4, 4, 1]]).y[0] for s in (1e-4, -1e-4))
    dx = run_layer("CenterLoss", text, [x, [0, 4, 4, 1]], dy=[1]).dx[0]
    np.testing.assert_allclose((plus - minus) / 2e-4, (dx * step).sum(), rtol=1e-6)


def test_no_items():
    text = "center_loss_param { num_output: 2 }"
    found = run_layer("CenterLoss", text, [np.zeros((0, 3)), np.zeros(0)], dy=[1])
    assert float(found.y[0]) == 0
    np.testing.assert_array_equal(found.dparams["W"], np.zeros((2, 3)))


def test_what_it_refuses(message):
    shapes = [(2, 3), (2,)]
    assert "expected num_output >= 1, got 0" in message("CenterLoss", "", shapes)
    text = "center_loss_param { num_output: 2 %s }"
    assert "expected distance_type L2" in message("CenterLoss", text % 'distance_type: "Cos"', shapes)
    assert "expected one label for each item" in message("CenterLoss", text % "", [(2, 3), (3,)])


def test_a_label_without_a_centre():
    with pytest.raises(DataError, match=r"got 4 at index 1\n  Fix: center_loss_param { num_output: 5 }"):
        run_layer("CenterLoss", "center_loss_param { num_output: 2 }", [np.zeros((2, 3)), [0, 4]])
