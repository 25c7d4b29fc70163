"""InnerProduct."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer


def ip(fields):
    return f"inner_product_param {{ {fields} }}"


def test_worked_example():
    W = [[1, 10, 100], [0, 0, 1]]
    run = run_layer(
        "InnerProduct", ip("num_output: 2"), [[[1, 2, 3]]], params={"W": W, "b": [0, 5]}, dy=[[[1, 2]]]
    )
    np.testing.assert_array_equal(run.y[0], [[321, 8]])
    np.testing.assert_array_equal(run.dx[0], [[1, 10, 102]])
    np.testing.assert_array_equal(run.dparams["W"], [[1, 2, 3], [2, 4, 6]])
    np.testing.assert_array_equal(run.dparams["b"], [1, 2])


def test_items_are_flattened_in_channel_order():
    x = np.arange(12.0).reshape(1, 3, 2, 2)
    W = np.eye(12)[[4]]  # channel 1, row 0, column 0
    run = run_layer("InnerProduct", ip("num_output: 1 bias_term: false"), [x], params={"W": W})
    assert run.y[0].item() == x[0, 1, 0, 0]


@pytest.mark.parametrize(
    ("fields", "shape", "top", "weight"),
    [
        ("num_output: 4", (3, 2, 5, 4), (3, 4), (4, 40)),
        ("num_output: 4 bias_term: false", (3, 7), (3, 4), (4, 7)),
        ("num_output: 4 transpose: true", (3, 2, 5), (3, 4), (10, 4)),
        ("num_output: 4 axis: 2", (3, 2, 5), (3, 2, 4), (4, 5)),
        ("num_output: 4 axis: -1", (3, 2, 3, 5), (3, 2, 3, 4), (4, 5)),
        ("num_output: 4 axis: 0", (3, 2), (4,), (4, 6)),
    ],
)
def test_checks(fields, shape, top, weight):
    layer = make_layer("InnerProduct", ip(fields))
    assert layer.infer([shape]) == [top]
    assert layer.params[0].shape == weight
    assert layer.macs([shape], [top]) == np.prod(top) * np.prod(weight) // 4
    check_layer("InnerProduct", ip(fields), [shape])


def test_no_num_output(message):
    assert message("InnerProduct") == (
        "layer 'layer' (InnerProduct): expected num_output >= 1, got 0\n  Fix: set inner_product_param.num_output"
    )


def test_nothing_to_weigh(message):
    assert message("InnerProduct", ip("num_output: 2"), [(3, 0)]) == (
        "layer 'layer' (InnerProduct): expected at least 1 element from axis 1 on, got x=(3, 0)"
    )


def test_bad_filler(message):
    text = message("InnerProduct", ip('num_output: 2 weight_filler { type: "gaussian" std: 0 }'))
    assert text == (
        "layer 'layer' (InnerProduct): expected std > 0 in the filler of W, got 0\n  Fix: use type: \"constant\""
    )


def test_axis_out_of_range(message):
    assert message("InnerProduct", ip("num_output: 2"), [(10,)]) == (
        "layer 'layer' (InnerProduct): expected an axis from -1 to 0 for a bottom with 1 axes, got 1"
    )
