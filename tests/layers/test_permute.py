"""Permute."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


@pytest.mark.parametrize(
    ("order", "full"),
    [((0, 2, 3, 1), (0, 2, 3, 1)), ((3,), (3, 0, 1, 2)), ((2, 0), (2, 0, 1, 3)), ((), (0, 1, 2, 3))],
)
def test_axes(order, full):
    text = "permute_param { " + " ".join(f"order: {axis}" for axis in order) + " }"
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    dy = np.random.default_rng(1).normal(size=x.transpose(full).shape)
    run = run_layer("Permute", text, [x], dy=[dy])
    np.testing.assert_array_equal(run.y[0], x.transpose(full))
    np.testing.assert_array_equal(run.dx[0].transpose(full), dy)
    check_layer("Permute", text, [x.shape])


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4), (2, 1, 3, 2, 2), (0, 3)])
def test_other_numbers_of_axes(shape):
    check_layer("Permute", "permute_param { order: 1 }", [shape])


def test_bad_orders(message):
    assert "expected axes from 0 to 3 for a bottom with 4 axes, got (0, 4)" in message(
        "Permute", "permute_param { order: 0 order: 4 }"
    )
    assert "expected each axis at most once in order, got (1, 1)" in message(
        "Permute", "permute_param { order: 1 order: 1 }"
    )
