"""LRN."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


def lrn(fields):
    return f"lrn_param {{ {fields} }}"


def test_worked_across_channels():
    x = np.array([1.0, 2, 3]).reshape(1, 3, 1, 1)
    run = run_layer("LRN", lrn("local_size: 3 alpha: 3 beta: 1 k: 2"), [x])
    np.testing.assert_allclose(run.y[0].ravel(), [1 / (2 + 5), 2 / (2 + 14), 3 / (2 + 13)])


def test_worked_within_a_channel():
    x = np.arange(1.0, 5).reshape(1, 1, 2, 2)
    run = run_layer("LRN", lrn("local_size: 3 alpha: 9 beta: 1 k: 5 norm_region: WITHIN_CHANNEL"), [x])
    np.testing.assert_allclose(run.y[0], x / (1 + 30))  # k is not used, the divisor is 9 at borders as well


@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
@pytest.mark.parametrize(
    "fields", ["", "local_size: 3 alpha: 0.9 beta: 0.6 k: 2", "local_size: 7", "local_size: 1"]
)
def test_checks(region, fields):
    check_layer("LRN", lrn(f"{fields} norm_region: {region}"), [(2, 6, 5, 4)])


def test_even_size(message):
    text = message("LRN", lrn("local_size: 4"))
    assert text == "layer 'layer' (LRN): expected an odd local_size, got 4\n  Fix: use 5"


def test_axes(message):
    assert message("LRN", "", [(2, 3, 5)]) == "layer 'layer' (LRN): expected x (N, C, H, W), got x=(2, 3, 5)"
