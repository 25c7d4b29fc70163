"""Scale."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer


def scale(fields):
    return f"scale_param {{ {fields} }}"


def test_worked_example():
    params = {"W": [2, 10], "b": [1, -1]}
    run = run_layer(
        "Scale", scale("bias_term: true"), [[[1, 2], [3, 4]]], params=params, dy=[[[1, 0], [2, 1]]]
    )
    np.testing.assert_array_equal(run.y[0], [[3, 19], [7, 39]])
    np.testing.assert_array_equal(run.dx[0], [[2, 0], [4, 10]])
    np.testing.assert_array_equal(run.dparams["W"], [7, 4])
    np.testing.assert_array_equal(run.dparams["b"], [3, 1])


def test_worked_two_bottoms():
    run = run_layer("Scale", scale("axis: 0"), [[[1, 2], [3, 4]], [2, 10]], dy=[1])
    np.testing.assert_array_equal(run.y[0], [[2, 4], [30, 40]])
    np.testing.assert_array_equal(run.dx[0], [[2, 2], [10, 10]])
    np.testing.assert_array_equal(run.dx[1], [3, 7])


@pytest.mark.parametrize("bias", ["", "bias_term: true"])
@pytest.mark.parametrize(
    ("fields", "weight"),
    [("", (3,)), ("axis: 0 num_axes: 2", (2, 3)), ("axis: 2 num_axes: -1", (5, 4)), ("num_axes: 0", ()), ("axis: -1", (4,))],
)  # fmt: skip
def test_checks(fields, bias, weight):
    text = scale(f"{fields} {bias}")
    layer = make_layer("Scale", text)
    layer.infer([(2, 3, 5, 4)])
    assert [p.shape for p in layer.params] == [weight] * (2 if bias else 1)
    assert layer.params[0].value == 1
    check_layer("Scale", text)


@pytest.mark.parametrize("bias", ["", "bias_term: true"])
@pytest.mark.parametrize(("axis", "second"), [(0, (2, 3)), (1, (3,)), (2, (5, 4)), (0, ()), (-1, (4,))])
def test_two_bottoms(axis, second, bias):
    check_layer("Scale", scale(f"axis: {axis} {bias}"), [(2, 3, 5, 4), second])


def test_shape_that_does_not_lie_along_x(message):
    text = message("Scale", scale("axis: 1"), [(2, 3, 5, 4), (5,)])
    assert (
        text
        == "layer 'layer' (Scale): expected scale of the shape that x has from axis 1 on, got x=(2, 3, 5, 4), scale=(5,)"
    )


def test_too_many_axes(message):
    text = message("Scale", scale("axis: 2 num_axes: 3"))
    assert text == "layer 'layer' (Scale): expected num_axes from -1 to 2, got 3"


def test_a_scalar_scale_needs_no_axis():
    check_layer("Scale", scale("bias_term: true"), [(3,), ()])  # axis 1 does not exist
