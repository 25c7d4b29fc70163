"""Normalize."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


@pytest.mark.parametrize("across", ["true", "false"])
@pytest.mark.parametrize("shared", ["true", "false"])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 4), (2, 3, 5)])
def test_checks(across, shared, shape):
    check_layer("Normalize", f"norm_param {{ across_spatial: {across} channel_shared: {shared} }}", [shape])


def test_over_channels():
    x = np.array([[[3.0, 0]], [[4, 1]]])[None]  # (1, 2, 1, 2)
    text = "norm_param { across_spatial: false channel_shared: false }"
    run = run_layer("Normalize", text, [x], params={"W": [10, 20]})
    np.testing.assert_allclose(run.y[0], [[[[6, 0]], [[16, 20]]]], rtol=1e-6)


def test_over_items_and_eps_under_the_root():
    text = "norm_param { eps: 3 scale_filler { type: 'constant' value: 20 } }"
    run = run_layer("Normalize", text, [[[2.0, 3], [0, 1]]], params={"W": 2})
    np.testing.assert_allclose(run.y[0], [[1, 1.5], [0, 1]])


def test_unequal_scales_are_in_the_gradient():
    """SSD leaves them out of the sum over channels."""
    text = "norm_param { across_spatial: false channel_shared: false eps: 0 }"
    run = run_layer("Normalize", text, [[[3.0, 4]]], params={"W": [10, 0]}, dy=[[[1, 1]]])
    np.testing.assert_allclose(run.dx[0], [[10 * 16 / 125, -10 * 12 / 125]])
    np.testing.assert_allclose(run.dparams["W"], [0.6, 0.8])  # SSD divides by the scale, which is 0 here


def test_zeros_are_no_problem():
    run = run_layer("Normalize", "", [np.zeros((1, 2, 1, 1))], dy=[1])
    assert not run.y[0].any()
    assert np.isfinite(run.dx[0]).all()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("normalize_param { eps: 1 }", "normalize_param of another fork"),
        ("norm_param { fix_scale: false }", "fix_scale of another fork"),
        ("norm_param { normalize_type: 'L1' }", "normalize_type of another fork"),
        ("norm_param { eps: -1 }", "expected eps >= 0, got -1.0"),
    ],
)
def test_bad_parameters(message, text, part):
    assert part in message("Normalize", text)


def test_needs_channels(message):
    assert "expected x (N, C, *S) with at least 2 axes, got x=(3,)" in message("Normalize", "", [(3,)])
