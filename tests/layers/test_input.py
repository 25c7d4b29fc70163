"""Input."""

import numpy as np
import pytest

from caffelite.testing import make_layer


def shapes(text, tops=1):
    return make_layer("Input", f"input_param {{ {text} }}", bottoms=0, tops=tops).infer([])


def test_shapes():
    assert shapes("shape { dim: 2 dim: 3 }") == [(2, 3)]
    assert shapes("shape { dim: 2 dim: 3 }", tops=2) == [(2, 3), (2, 3)]
    assert shapes("shape { dim: 2 } shape { dim: 5 dim: 1 }", tops=2) == [(2,), (5, 1)]
    assert shapes("", tops=2) == [(0,), (0,)]


def test_what_the_user_wrote_stays():
    y = [np.array([1.0, 2.0])]
    make_layer("Input", "input_param { shape { dim: 2 } }", bottoms=0).forward(np, y)
    np.testing.assert_array_equal(y[0], [1, 2])


@pytest.mark.parametrize("dim", [0, -3])
def test_sizes_below_one(message, dim):
    text = message("Input", f"input_param {{ shape {{ dim: 1 dim: {dim} }} }}", [])
    assert text == f"layer 'layer' (Input): expected sizes >= 1, got (1, {dim})"


def test_wrong_number_of_shapes(message):
    text = message("Input", "input_param { shape { dim: 1 } shape { dim: 2 } }", [], tops=3)
    assert text == "layer 'layer' (Input): expected shape once, or once for each of 3 tops, got 2 times"


def test_what_a_data_layer_left_does_not_matter():
    text = "input_param { shape { dim: 2 } } transform_param { resize_param { height: 300 width: 300 } mirror: true }"
    assert make_layer("Input", text, bottoms=0).infer([]) == [(2,)]
