"""Dropout."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer
from caffelite.types import Phase


def test_worked_example():
    run = run_layer(
        "Dropout", "dropout_param { dropout_ratio: 0.75 }", [np.ones(10000)], dy=[np.full(10000, 2.0)]
    )
    kept = run.y[0] != 0
    assert abs(kept.mean() - 0.25) < 0.02
    np.testing.assert_array_equal(run.y[0][kept], 4)
    np.testing.assert_array_equal(run.dx[0], 2 * run.y[0])  # the same elements


def test_nothing_happens_in_test():
    run = run_layer("Dropout", "", [[1, 2, 3]], phase=Phase.TEST, dy=[[4, 5, 6]])
    np.testing.assert_array_equal(run.y[0], [1, 2, 3])
    np.testing.assert_array_equal(run.dx[0], [4, 5, 6])


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("ratio", [0, 0.3, 0.5])
def test_checks(phase, ratio):
    check_layer("Dropout", f"dropout_param {{ dropout_ratio: {ratio} }}", phase=phase)


def test_no_mask_in_test():
    layer = make_layer("Dropout", phase=Phase.TEST)
    layer.infer([(2, 3)])
    assert layer.saved == []


@pytest.mark.parametrize("ratio", [1, -0.5, 1.5])
def test_bad_ratio(message, ratio):
    text = message("Dropout", f"dropout_param {{ dropout_ratio: {ratio} }}")
    assert text == f"layer 'layer' (Dropout): expected 0 <= dropout_ratio < 1, got {ratio}"


# -- forks ---------------------------------------------------------------------------------------------------------


def test_scaling_in_test_instead_of_train():
    text = "dropout_param { dropout_ratio: 0.75 scale_train: false }"
    run = run_layer("Dropout", text, [np.full(10000, 3.0)], dy=[2])
    assert set(np.unique(run.y[0])) == {0, 3}
    np.testing.assert_array_equal(run.dx[0], run.y[0] / 1.5)
    run = run_layer("Dropout", text, [[4.0, 8]], phase=Phase.TEST, dy=[4])
    np.testing.assert_allclose(run.y[0], [1, 2])
    np.testing.assert_allclose(run.dx[0], [1, 1])


def test_drawing_in_test():
    text = "dropout_param { dropout_ratio: 0.75 sample_weights_test: true }"
    run = run_layer("Dropout", text, [np.ones(10000)], phase=Phase.TEST, dy=[1])
    assert set(np.unique(run.y[0])) == {0, 4}
    np.testing.assert_array_equal(run.dx[0], run.y[0])


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("text", ["scale_train: false", "sample_weights_test: true"])
def test_checks_of_forks(phase, text):
    check_layer("Dropout", f"dropout_param {{ {text} }}", phase=phase)
