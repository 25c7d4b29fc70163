"""Layers whose top has the shape of their one bottom: a worked example and all checks for each."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer

e = np.e

EXAMPLES = [  # type, text, x, y, gradient
    ("AbsVal", "", [-2, 0, 3], [2, 0, 3], [-1, 0, 1]),
    ("BNLL", "", [0, 1000, -1000], [np.log(2), 1000, 0], [0.5, 1, 0]),
    ("Clip", "clip_param { min: -1 max: 2 }", [-5, -1, 0, 2, 3], [-1, -1, 0, 2, 2], [0, 1, 1, 1, 0]),
    ("ELU", "", [-np.log(2), 0, 3], [-0.5, 0, 3], [0.5, 1, 1]),
    ("ELU", "elu_param { alpha: 3 }", [-np.log(2), 0, 3], [-1.5, 0, 3], [1.5, 3, 1]),
    ("Exp", "", [0, 1], [1, e], [1, e]),
    (
        "Exp",
        "exp_param { base: 2 scale: 3 shift: 1 }",
        [0, 1],
        [2, 16],
        [2 * 3 * np.log(2), 16 * 3 * np.log(2)],
    ),
    ("Log", "", [1, e], [0, 1], [1, 1 / e]),
    (
        "Log",
        "log_param { base: 2 scale: 3 shift: 1 }",
        [1, 5],
        [2, 4],
        [3 / 4 / np.log(2), 3 / 16 / np.log(2)],
    ),
    ("Power", "", [-1, 5], [-1, 5], [1, 1]),
    ("Power", "power_param { power: 2 scale: 3 shift: 1 }", [0, 1], [1, 16], [6, 24]),
    ("Power", "power_param { power: 0 }", [0, 1], [1, 1], [0, 0]),
    ("Power", "power_param { power: 2 }", [0, 3], [0, 9], [0, 6]),
    ("Sigmoid", "", [0, np.log(3), 1000, -1000], [0.5, 0.75, 1, 0], [0.25, 0.1875, 0, 0]),
    ("Swish", "", [0, np.log(3)], [0, 0.75 * np.log(3)], [0.5, 0.75 + 0.1875 * np.log(3)]),
    ("TanH", "", [0, np.log(2)], [0, 0.6], [1, 0.64]),
]


@pytest.mark.parametrize(("type_", "text", "x", "y", "slope"), EXAMPLES)
def test_worked_examples(type_, text, x, y, slope):
    run = run_layer(type_, text, [x], dy=[10])
    np.testing.assert_allclose(run.y[0], y, rtol=1e-7, atol=1e-15)
    np.testing.assert_allclose(run.dx[0], 10 * np.array(slope), rtol=1e-7, atol=1e-15)


def test_threshold():
    run = run_layer("Threshold", "threshold_param { threshold: 0.5 }", [[0, 0.5, 1]])
    np.testing.assert_array_equal(run.y[0], [0, 0, 1])
    assert not hasattr(make_layer("Threshold"), "backward")


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (3, 7), ()])
@pytest.mark.parametrize(
    ("type_", "text", "low", "high"),
    [
        ("AbsVal", "", -1, 1),
        ("BNLL", "", -3, 3),
        ("Clip", "clip_param { min: -0.4 max: 0.3 }", -1, 1),
        ("ELU", "", -1, 1),
        ("ELU", "elu_param { alpha: -0.5 }", -1, 1),
        ("Exp", "exp_param { base: 2 scale: 0.5 shift: -1 }", -1, 1),
        ("Log", "log_param { base: 10 scale: 2 shift: 0.5 }", 0, 3),
        ("Power", "power_param { power: 0.37 scale: 0.83 shift: -2.4 }", 4, 6),
        ("Power", "power_param { power: 3 scale: -2 shift: 0.5 }", -1, 1),
        ("Power", "power_param { scale: 0 shift: 2 power: 3 }", -1, 1),
        ("Sigmoid", "", -3, 3),
        ("Swish", "swish_param { beta: 1.7 }", -3, 3),
        ("TanH", "", -2, 2),
        ("Threshold", "", -1, 1),
    ],
)
def test_checks(type_, text, low, high, shape):
    check_layer(type_, text, [shape], low=low, high=high)


@pytest.mark.parametrize(
    ("type_", "text", "expected"),
    [
        ("Clip", "", "clip_param, got none\n  Fix: add clip_param { min: ... max: ... }"),
        ("Clip", "clip_param { min: 1 max: 0 }", "min <= max, got min 1, max 0"),
        ("Exp", "exp_param { base: 0 }", "base > 0, or -1 for e, got 0"),
        ("Log", "log_param { base: -2 }", "base > 0 and not 1, or -1 for e, got -2"),
        ("Log", "log_param { base: 1 }", "base > 0 and not 1, or -1 for e, got 1"),
    ],
)
def test_bad_parameters(message, type_, text, expected):
    assert message(type_, text) == f"layer 'layer' ({type_}): expected {expected}"
