"""BatchNorm."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer
from caffelite.types import Phase

ZEROS = {"mean": [0, 0], "variance": [0, 0], "factor": [0]}
X = np.array([[1.0, 10], [3, 30]])  # means 2 and 20, variances 1 and 100 (unbiased: 2 and 200)


def test_worked_train():
    run = run_layer("BatchNorm", "batch_norm_param { eps: 0 }", [X], params=ZEROS)
    np.testing.assert_allclose(run.y[0], [[-1, -1], [1, 1]])
    np.testing.assert_allclose(run.params["mean"], [2, 20])
    np.testing.assert_allclose(run.params["variance"], [2, 200])
    np.testing.assert_allclose(run.params["factor"], [1])


def test_running_sums_decay():
    start = {"mean": [10, 10], "variance": [4, 4], "factor": [2]}
    run = run_layer("BatchNorm", "batch_norm_param { moving_average_fraction: 0.5 }", [X], params=start)
    np.testing.assert_allclose(run.params["mean"], [7, 25])
    np.testing.assert_allclose(run.params["variance"], [4, 202])
    np.testing.assert_allclose(run.params["factor"], [2])


def test_worked_test():
    start = {"mean": [4, 40], "variance": [8, 800], "factor": [2]}  # 2, 20 and 4, 400
    text = "batch_norm_param { eps: 0 }"
    run = run_layer("BatchNorm", text, [X], params=start, phase=Phase.TEST, dy=[10])
    np.testing.assert_allclose(run.y[0], [[-0.5, -0.5], [0.5, 0.5]])
    np.testing.assert_allclose(run.dx[0], [[5, 0.5], [5, 0.5]])
    np.testing.assert_array_equal(run.params["mean"], [4, 40])


def test_never_trained():
    run = run_layer("BatchNorm", "", [X], params=ZEROS, phase=Phase.TEST)
    np.testing.assert_allclose(run.y[0], X / np.sqrt(1e-5), rtol=1e-6)


def test_one_value_a_channel():
    run = run_layer("BatchNorm", "", [[[1.0, 10]]], params=ZEROS)
    np.testing.assert_array_equal(run.y[0], [[0, 0]])
    np.testing.assert_array_equal(run.params["variance"], [0, 0])


@pytest.mark.parametrize("stats", ["", "use_global_stats: true", "use_global_stats: false"])
@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("shape", [(4, 3, 5, 4), (5, 3), (2, 3, 7)])
def test_checks(stats, phase, shape):
    check_layer("BatchNorm", f"batch_norm_param {{ {stats} }}", [shape], phase=phase)


def test_statistics_are_not_learned():
    layer = make_layer("BatchNorm")
    layer.infer([(2, 3)])
    assert [(p.name, p.shape, p.learnable) for p in layer.params] == [
        ("mean", (3,), False),
        ("variance", (3,), False),
        ("factor", (1,), False),
    ]


def test_one_axis(message):
    text = message("BatchNorm", "", [(3,)])
    assert text == "layer 'layer' (BatchNorm): expected x (N, C, *S) with at least 2 axes, got x=(3,)"


def test_learning_rate_for_statistics(message):
    assert message("BatchNorm", "param { lr_mult: 0 } param { lr_mult: 2 }") == (
        "layer 'layer' (BatchNorm): expected lr_mult: 0 for statistics, which no solver may touch, got 2 in param 1\n"
        "  Fix: drop the param entries; a Scale layer with bias_term: true learns scale and shift"
    )
