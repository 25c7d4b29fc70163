"""BN: the three layers of that name."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer
from caffelite.types import Phase

PSPNET = "bn_param { momentum: 0.75 eps: 0 }"
X = np.array([[1.0, 10], [3, 30]]).reshape(2, 2, 1, 1)  # means 2 and 20, variances 1 and 100
SHAPE = (1, 2, 1, 1)


def blob(*values):
    return np.reshape(values, SHAPE).astype(float)


def start(**more):
    return {"scale": blob(1, 2), "shift": blob(0, 5), **more}


def test_pspnet_in_train():
    stored = {"mean": blob(8, 0), "variance": blob(5, 0)}
    run = run_layer("BN", PSPNET, [X], params=start(**stored))
    np.testing.assert_allclose(run.y[0].reshape(2, 2), [[-1, 3], [1, 7]])
    np.testing.assert_allclose(run.params["mean"], blob(6.5, 5))
    np.testing.assert_allclose(run.params["variance"], blob(4, 25))  # biased


@pytest.mark.parametrize(
    ("phase", "text"), [(Phase.TEST, ""), (Phase.TRAIN, "frozen: true"), (Phase.TEST, "frozen: true")]
)
def test_pspnet_with_stored_statistics(phase, text):
    stored = {"mean": blob(3, 10), "variance": blob(4, 16)}
    run = run_layer("BN", f"bn_param {{ eps: 0 {text} }}", [X], params=start(**stored), phase=phase, dy=[8])
    np.testing.assert_allclose(run.y[0].reshape(2, 2), [[-1, 5], [0, 15]])
    np.testing.assert_allclose(run.dx[0].reshape(2, 2), [[4, 4], [4, 4]])
    np.testing.assert_array_equal(run.params["mean"], blob(3, 10))
    if not text:
        np.testing.assert_allclose(run.dparams["scale"], blob(-8, 40))
        np.testing.assert_allclose(run.dparams["shift"], blob(16, 16))


def test_a_frozen_layer_learns_nothing_and_starts_with_variance_1():
    layer = make_layer("BN", "bn_param { frozen: true }")
    layer.infer([(2, 3, 4, 5)])
    assert [(p.name, p.learnable, p.value) for p in layer.params] == [
        ("scale", False, 1),
        ("shift", False, 0),
        ("mean", False, 0),
        ("variance", False, 1),
    ]


@pytest.mark.parametrize("phase", Phase)
def test_segnet_learns(phase):
    run = run_layer("BN", "bn_param { bn_mode: LEARN }", [X], tops=3, phase=phase, params=start())
    np.testing.assert_allclose(run.y[0].reshape(2, 2), [[-1, 3], [1, 7]], rtol=1e-6)
    np.testing.assert_allclose(run.y[1], blob(2, 20))
    np.testing.assert_allclose(run.y[2], blob(1, 100))
    assert list(run.params) == ["scale", "shift"]


@pytest.mark.parametrize("phase", Phase)
def test_segnet_infers(phase):
    run = run_layer("BN", "bn_param { bn_mode: INFERENCE }", [X], phase=phase, params=start(), dy=[1])
    np.testing.assert_allclose(run.y[0].reshape(2, 2), [[1, 25], [3, 65]])
    np.testing.assert_allclose(run.dx[0].reshape(2, 2), [[1, 2], [1, 2]])
    np.testing.assert_allclose(run.dparams["scale"], blob(4, 40))
    np.testing.assert_allclose(run.dparams["shift"], blob(2, 2))


@pytest.mark.parametrize("phase", Phase)
def test_parsenet_without_averages(phase):
    run = run_layer("BN", "bn_param { var_eps: 0 }", [X], phase=phase, params=start())
    np.testing.assert_allclose(run.y[0].reshape(2, 2), [[-1, 3], [1, 7]])
    assert list(run.params) == ["scale", "shift"]


def test_parsenet_with_averages():
    text, stored = (
        "bn_param { moving_average: true decay: 0.75 var_eps: 0 }",
        {"mean": blob(8, 0), "variance": blob(5, 4)},
    )
    run = run_layer("BN", text, [X], params=start(**stored))
    np.testing.assert_allclose(run.params["mean"], blob(3.5, 15))  # a quarter is old
    np.testing.assert_allclose(run.params["variance"], blob(2, 76))
    run = run_layer("BN", text, [X], phase=Phase.TEST, params=start(mean=blob(3, 10), variance=blob(4, 16)))
    np.testing.assert_allclose(run.y[0].reshape(2, 2), [[-1, 5], [0, 15]])


def test_parsenet_by_place():
    x = np.random.default_rng(1).random((5, 2, 3, 4))
    params = {"scale": np.full((1, 2, 3, 4), 2.0), "shift": np.full((1, 2, 3, 4), 1.0)}
    y = run_layer("BN", "bn_param { across_spatial: false var_eps: 0 }", [x], params=params).y[0]
    np.testing.assert_allclose(y, 2 * (x - x.mean(0)) / x.std(0) + 1)


FORMS = (
    "", "frozen: true", "bn_mode: LEARN", "bn_mode: INFERENCE", "var_eps: 1e-3", "moving_average: true",
    "across_spatial: false",
)  # fmt: skip


@pytest.mark.parametrize("text", FORMS)
@pytest.mark.parametrize("phase", Phase)
def test_checks(text, phase):
    for shape in [(4, 3, 5, 4), (5, 3), (3, 2, 4)]:
        check_layer("BN", f"bn_param {{ {text} }}", [shape], phase=phase)


def test_statistics_as_tops_are_checked_too():
    check_layer("BN", "bn_param { bn_mode: LEARN }", [(4, 3, 5, 4)], tops=3)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("slope_filler { value: 3 } bias_filler { value: 4 }", ("slope", "bias")),
        ("scale_filler { value: 3 } shift_filler { value: 4 }", ("scale", "shift")),
    ],
)
def test_fillers(text, filled):
    layer = make_layer("BN", f"bn_param {{ {text} }}")
    layer.infer([(2, 3, 4, 5)])
    assert [p.filler.value for p in layer.params[:2]] == [3, 4]
    assert len(layer.params) == (4 if filled[0] == "slope" else 2)
    assert {p.shape for p in layer.params} == {(1, 3, 1, 1)}


def test_fields_of_two_forks(message):
    told = "expected fields of one fork's BN, got "
    assert told + "momentum and scale_filler" in message(
        "BN", "bn_param { momentum: 0.9 scale_filler { value: 1 } }"
    )
    assert told + "decay and bn_mode" in message("BN", "bn_param { decay: 0.9 bn_mode: LEARN }")


def test_bad_tops_and_shapes(message):
    assert "expected one top, got 3" in message("BN", "", tops=3)
    assert message("BN", "", [(3,)]).endswith("expected x (N, C, *S) with at least 2 axes, got x=(3,)")
