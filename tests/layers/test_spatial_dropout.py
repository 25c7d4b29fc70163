"""SpatialDropout."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer
from caffelite.types import Phase


@pytest.mark.parametrize("message", ["spatial_dropout_param", "dropout_param"])
def test_whole_planes_go(message):
    x = np.random.default_rng(1).random((20, 50, 3, 2)) + 1
    run = run_layer("SpatialDropout", f"{message} {{ dropout_ratio: 0.75 }}", [x], dy=[x])
    planes = run.y[0] / x
    assert {0.0, 4.0} == set(np.unique(planes.round(6)))
    np.testing.assert_array_equal(planes.min(axis=(2, 3)).round(6), planes.max(axis=(2, 3)).round(6))
    assert abs((planes[:, :, 0, 0] > 0).mean() - 0.25) < 0.05
    np.testing.assert_array_equal(run.dx[0], run.y[0])


def test_nothing_happens_in_test():
    x = np.ones((1, 2, 3, 4))
    np.testing.assert_array_equal(run_layer("SpatialDropout", "", [x], phase=Phase.TEST).y[0], x)


@pytest.mark.parametrize("phase", Phase)
def test_checks(phase):
    check_layer("SpatialDropout", "", [(5, 6, 4, 3)], phase=phase)


def test_bad_parameters(message):
    assert "expected 0 <= dropout_ratio < 1, got 1" in message(
        "SpatialDropout", "spatial_dropout_param { dropout_ratio: 1 }"
    )
    assert "at least 2 axes" in message("SpatialDropout", "", [(3,)])
