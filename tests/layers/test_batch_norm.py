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


# -- forks ---------------------------------------------------------------------------------------------------------

SCALED = {"scale": [1, 2], "bias": [0, 5]}


def test_nvcaffe_keeps_averages():
    text = "batch_norm_param { scale_bias: true moving_average_fraction: 0.75 }"
    run = run_layer("BatchNorm", text, [X], params={**ZEROS, **SCALED})
    np.testing.assert_allclose(run.y[0], [[-1, 3], [1, 7]], rtol=1e-5)
    np.testing.assert_allclose(run.params["mean"], [2, 20])  # the first batch's own
    np.testing.assert_allclose(run.params["variance"], [2, 200])
    np.testing.assert_array_equal(run.params["factor"], [1])
    stored = {"mean": [10, 0], "variance": [6, 0], "factor": [1]}
    run = run_layer("BatchNorm", text, [X], params={**stored, **SCALED})
    np.testing.assert_allclose(run.params["mean"], [8, 5])
    np.testing.assert_allclose(run.params["variance"], [5, 50])
    np.testing.assert_array_equal(run.params["factor"], [1])


def test_nvcaffe_goes_on_from_bvlcs_sums():
    stored = {"mean": [20, 0], "variance": [12, 0], "factor": [2]}
    text = "batch_norm_param { scale_bias: true moving_average_fraction: 0.75 }"
    run = run_layer("BatchNorm", text, [X], params={**stored, **SCALED})
    np.testing.assert_allclose(run.params["mean"], [8, 5])
    np.testing.assert_array_equal(run.params["factor"], [1])


def test_intel_keeps_sums():
    stored = {"mean": [10, 10], "variance": [4, 4], "factor": [2]}
    text = "batch_norm_param { use_weight_bias: true moving_average_fraction: 0.5 eps: 0 }"
    run = run_layer("BatchNorm", text, [X], params={**stored, **SCALED})
    np.testing.assert_allclose(run.y[0], [[-1, 3], [1, 7]])
    np.testing.assert_allclose(run.params["mean"], [7, 25])
    np.testing.assert_allclose(run.params["factor"], [2])


@pytest.mark.parametrize(
    "text", ["scale_bias: true", "use_weight_bias: true", "scale_bias: true use_global_stats: false"]
)
def test_scaled_in_test(text):
    stored = {"mean": [6, 20], "variance": [8, 32], "factor": [2]}  # 3, 10 and 4, 16
    if text.endswith("false"):  # which NVCaffe does not look at in TEST
        stored = {"mean": [3, 10], "variance": [4, 16], "factor": [1]}
    params = {**stored, **SCALED}
    run = run_layer(
        "BatchNorm", f"batch_norm_param {{ {text} }}", [X], params=params, phase=Phase.TEST, dy=[8]
    )
    np.testing.assert_allclose(run.y[0], [[-1, 5], [0, 15]], atol=1e-4)
    np.testing.assert_allclose(run.dx[0], [[4, 4], [4, 4]], rtol=1e-4)
    np.testing.assert_allclose(run.dparams["scale"], [-8, 40], rtol=1e-4)
    np.testing.assert_allclose(run.dparams["bias"], [16, 16])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "mean variance factor"),
        ("scale_bias: false", "mean variance factor"),
        ("use_weight_bias: false", "mean variance factor"),
        ("use_weight_bias: false bias_term: true", "mean variance factor"),
        ("scale_bias: true", "mean variance factor scale bias"),
        ("scale_filler { value: 2 }", "mean variance factor scale bias"),
        ("bias_filler { value: 2 }", "mean variance factor scale bias"),
        ("bias_term: true", "mean variance factor scale bias"),
        ("bias_term: false", "mean variance factor scale"),
        ("filler { value: 2 } bias_filler { value: 3 }", "mean variance factor scale bias"),
    ],
)
def test_params_of_forks(text, names):
    layer = make_layer("BatchNorm", f"batch_norm_param {{ {text} }}")
    layer.infer([(2, 3)])
    assert [p.name for p in layer.params] == names.split()
    assert [p.learnable for p in layer.params] == [p.name in ("scale", "bias") for p in layer.params]


def test_fillers_of_forks():
    for text, values in [
        ("scale_bias: true", [None, None]),
        ("scale_filler { value: 2 } bias_filler { value: 3 }", [2, 3]),
        ("filler { value: 2 } bias_filler { value: 3 }", [2, 3]),
    ]:
        layer = make_layer("BatchNorm", f"batch_norm_param {{ {text} }}")
        layer.infer([(2, 3)])
        assert [p.filler and p.filler.value for p in layer.params[3:]] == values
        assert [p.value for p in layer.params[3:]] == [1, 0]


@pytest.mark.parametrize("text", ["scale_bias: true use_weight_bias: true", "filler { } scale_filler { }"])
def test_fields_of_two_forks(message, text):
    assert "expected fields of one fork's BatchNorm, got scale_" in message(
        "BatchNorm", f"batch_norm_param {{ {text} }}"
    )


def test_cudnns_least_eps():
    assert make_layer("BatchNorm", "batch_norm_param { scale_bias: true eps: 1e-8 }").eps == 1e-5
    assert make_layer("BatchNorm", "batch_norm_param { eps: 1e-8 }").eps == pytest.approx(1e-8)


@pytest.mark.parametrize("text", ["scale_bias: true", "use_weight_bias: true", "bias_term: false"])
@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("shape", [(4, 3, 5, 4), (5, 3)])
def test_checks_of_forks(text, phase, shape):
    check_layer("BatchNorm", f"batch_norm_param {{ {text} }}", [shape], phase=phase)


def test_learning_rates_of_forks(message):
    rates = "param { lr_mult: 1 } " * 5
    make_layer(
        "BatchNorm", f"batch_norm_param {{ scale_bias: true }} {rates}"
    )  # NVCaffe sets those of statistics to 0
    assert "got 1 in param 0" in message("BatchNorm", f"batch_norm_param {{ use_weight_bias: true }} {rates}")
    zeros = "param { lr_mult: 0 } " * 3 + "param { lr_mult: 1 } " * 2
    make_layer("BatchNorm", f"batch_norm_param {{ use_weight_bias: true }} {zeros}")
