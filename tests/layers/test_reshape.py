"""Reshape."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer


def reshape(fields):
    return f"reshape_param {{ {fields} }}"


def test_worked_example():
    run = run_layer(
        "Reshape", reshape("shape { dim: 2 dim: -1 }"), [[1, 2, 3, 4, 5, 6]], dy=[[[1, 2, 3], [4, 5, 6]]]
    )
    np.testing.assert_array_equal(run.y[0], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(run.dx[0], [1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("fields", "top"),
    [
        ("shape { dim: 0 dim: -1 }", (2, 60)),
        ("shape { dim: 0 dim: 0 dim: 2 dim: 10 }", (2, 3, 2, 10)),
        ("shape { dim: 6 } axis: 0 num_axes: 2", (6, 5, 4)),
        ("shape { dim: -1 dim: 3 } axis: 1 num_axes: 1", (2, 1, 3, 5, 4)),
        ("shape { dim: 1 dim: 1 } axis: -1", (2, 3, 5, 4, 1, 1)),
        ("shape { dim: 1 } axis: 0 num_axes: 0", (1, 2, 3, 5, 4)),
        ("shape { dim: 20 } axis: -3", (2, 3, 20)),
        ("", None),
    ],
)
def test_checks(fields, top):
    if top is None:  # no shape at all: everything is replaced by nothing, which fits one element
        assert make_layer("Reshape").infer([(1, 1)]) == [()]
        return
    assert make_layer("Reshape", reshape(fields)).infer([(2, 3, 5, 4)]) == [top]
    check_layer("Reshape", reshape(fields))


@pytest.mark.parametrize(
    ("fields", "top"),
    [
        ("shape { dim: 0 dim: -1 }", (0, 60)),
        ("shape { dim: -1 dim: 3 dim: 20 }", (0, 3, 20)),
        ("shape { dim: -1 dim: 10 } axis: 2", (0, 3, 2, 10)),
        ("shape { dim: 0 dim: -1 dim: 4 }", (0, 15, 4)),
    ],
)
def test_no_items(fields, top):
    """Caffe divides by zero."""
    assert make_layer("Reshape", reshape(fields)).infer([(0, 3, 5, 4)]) == [top]


def test_an_axis_copied_from_behind_the_replaced_ones():
    layer = make_layer("Reshape", reshape("shape { dim: -1 dim: 0 } num_axes: 1"))
    assert layer.infer([(6, 3, 4)]) == [(2, 3, 3, 4)]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ("shape { dim: -2 }", "dims of 0 or more, and at most one -1, got (-2,)"),
        ("shape { dim: -1 dim: -1 }", "dims of 0 or more, and at most one -1, got (-1, -1)"),
        ("shape { dim: 7 dim: 10 }", "x with 70 elements for (7, 10), got x=(2, 3, 5, 4) with 120"),
        (
            "shape { dim: 7 dim: -1 }",
            "x with a multiple of 7 elements to infer dim: -1, got x=(2, 3, 5, 4) with 120",
        ),
        ("shape { dim: 1 dim: 0 } axis: -1", "no dim: 0 beyond the 4 axes of x, got (1, 0)"),
        ("shape { dim: 1 } axis: 5", "an axis from -5 to 4 for a bottom with 4 axes, got 5"),
        ("shape { dim: 1 } axis: 1 num_axes: 4", "num_axes from -1 to 3, got 4"),
    ],
)
def test_bad_parameters(message, fields, text):
    assert message("Reshape", reshape(fields)) == f"layer 'layer' (Reshape): expected {text}"
