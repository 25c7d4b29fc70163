"""Slice."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


def test_worked_example():
    run = run_layer("Slice", "slice_param { slice_point: 1 }", [[[1, 2, 3]]], tops=2, dy=[[[4]], [[5, 6]]])
    np.testing.assert_array_equal(run.y[0], [[1]])
    np.testing.assert_array_equal(run.y[1], [[2, 3]])
    np.testing.assert_array_equal(run.dx[0], [[4, 5, 6]])


@pytest.mark.parametrize(
    ("fields", "shape", "tops"),
    [
        ("", (2, 6, 3, 5), 3),
        ("slice_point: 1 slice_point: 4", (2, 6, 3, 5), 3),
        ("axis: 0", (4, 3), 2),
        ("axis: -1 slice_point: 3", (2, 3, 4), 2),
        ("slice_dim: 1 slice_point: 2", (2, 3), 2),
        ("", (2, 3), 1),
    ],
)
def test_checks(fields, shape, tops):
    check_layer("Slice", f"slice_param {{ {fields} }}", [shape], tops=tops)


@pytest.mark.parametrize(
    ("fields", "tops", "text"),
    [
        ("slice_point: 1", 3, "2 slice points for 3 tops, got (1,)"),
        ("slice_point: 2 slice_point: 2", 3, "rising slice points between 0 and 6, got (2, 2)"),
        ("slice_point: 6", 2, "rising slice points between 0 and 6, got (6,)"),
        ("", 4, "axis 1 of x to divide by 4 tops, got x=(2, 6)\n  Fix: set slice_point"),
        ("axis: 1 slice_dim: 1", 2, "either axis or slice_dim, got both\n  Fix: drop slice_dim"),
    ],
)
def test_bad_parameters(message, fields, tops, text):
    assert (
        message("Slice", f"slice_param {{ {fields} }}", [(2, 6)], tops)
        == f"layer 'layer' (Slice): expected {text}"
    )
