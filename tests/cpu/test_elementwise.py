"""Activations, sums and joints through oneDNN."""

from __future__ import annotations

import pytest

from caffelite.plan.kernel import CHANNELS_LAST

SHAPES = [(2, 4, 7, 5), (3, 17, 2, 3), (1, 1, 4, 5), (5, 7), (2, 3, 4, 3, 2)]
LAYERS = [
    ("ReLU", ""),
    ("ReLU", "relu_param { negative_slope: 0.1 }"),
    ("ReLU", "relu_param { negative_slope: -0.1 }"),
    ("Sigmoid", ""),
    ("TanH", ""),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("type_", "text"), LAYERS)
def test_activations(agrees, type_, text, shape):
    agrees(type_, text, shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_sums(agrees, shape):
    agrees("Eltwise", "", shape, shape)
    agrees("Eltwise", "eltwise_param { coeff: 1 coeff: -2 coeff: 0.5 }", shape, shape, shape)


def test_products_and_maxima_are_left_to_the_array_body(objections):
    shape = (2, 3, 4, 5)
    assert objections("Eltwise", "eltwise_param { operation: PROD }", shape, shape) == {"it has no PROD"}
    assert objections("Eltwise", "eltwise_param { operation: MAX }", shape, shape) == {"it has no MAX"}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tops", [1, 2, 3])
def test_splits(agrees, shape, tops):
    agrees("Split", "", shape, tops=tops)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_concat(agrees, shape, axis):
    other = list(shape)
    other[axis] += 3
    agrees("Concat", f"concat_param {{ axis: {axis} }}", shape, tuple(other), shape, layouts=(CHANNELS_LAST,))
