"""SmoothL1Loss in the dialects of Fast R-CNN, Faster R-CNN and SSD."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer


def by_loop(x, target, inside, outside, sigma):
    total = 0.0
    for a, b, w, v in zip(*(np.ravel(part) for part in (x, target, inside, outside)), strict=True):
        d = w * (a - b)
        near = abs(d) < 1 / sigma**2
        total += v * (0.5 * (sigma * d) ** 2 if near else abs(d) - 0.5 / sigma**2)
    return total / len(x)


@pytest.mark.parametrize("sigma", [1, 3, 0.5])
@pytest.mark.parametrize("bottoms", [2, 3, 4])
@pytest.mark.parametrize("shape", [(3, 8), (1, 8, 3, 2), (5,)])
def test_value(sigma, bottoms, shape):
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=shape) for _ in range(bottoms)]
    run = run_layer("SmoothL1Loss", f"smooth_l1_loss_param {{ sigma: {sigma} }}", parts)
    ones = [np.ones(shape)] * (4 - bottoms)
    assert run.y[0].item() == pytest.approx(by_loop(*parts, *ones, sigma), rel=1e-12)


@pytest.mark.parametrize("bottoms", [2, 3, 4])
def test_checks(bottoms):
    text = "smooth_l1_loss_param { sigma: 1.5 }"
    check_layer("SmoothL1Loss", text, [(2, 4, 3, 5)] * bottoms, low=-2, high=2)


def test_weights_are_part_of_the_gradient():
    """Fast R-CNN leaves them out: right only for weights of 0 and 1."""
    run = run_layer("SmoothL1Loss", "", [[[0.5, 5, -5]], [[0, 0, 0]], [[0.5, 2, 3]]], dy=[2])
    np.testing.assert_allclose(run.dx[0], [[2 * 0.5 * 0.25, 4, -6]])
    np.testing.assert_allclose(run.dx[1], -run.dx[0])
    assert run.dx[2] is None


def test_ones_at_the_end_of_shapes_do_not_count(message):
    run = run_layer("SmoothL1Loss", "", [np.ones((2, 4)), np.zeros((2, 4, 1, 1))], dy=[1])
    assert run.y[0].item() == 2
    assert run.dx[1].shape == (2, 4, 1, 1)
    text = message("SmoothL1Loss", "", [(2, 4), (4, 2)])
    assert "expected target of the shape of x, got x=(2, 4), target=(4, 2)" in text
    text = message("SmoothL1Loss", "", [(2, 4), (2, 4), (2, 4), (8,)])
    assert "expected outside of the shape of x" in text


def test_sigma_must_be_positive(message):
    text = message("SmoothL1Loss", "smooth_l1_loss_param { sigma: 0 }", [(1,), (1,)])
    assert "expected sigma > 0, got 0.0" in text


def test_it_counts_in_the_objective_without_a_loss_weight():
    assert make_layer("SmoothL1Loss", bottoms=2).loss
