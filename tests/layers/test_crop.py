"""Crop."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


def test_worked_example():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    run = run_layer(
        "Crop", "crop_param { offset: 1 offset: 0 }", [x, np.zeros((5, 5, 2, 1))], dy=[[[[1], [2]]]]
    )
    np.testing.assert_array_equal(run.y[0], [[[[3], [6]]]])
    np.testing.assert_array_equal(run.dx[0], [[[[0, 0, 0], [1, 0, 0], [2, 0, 0]]]])


@pytest.mark.parametrize(
    ("fields", "like"),
    [("", (2, 3, 3, 4)), ("offset: 1", (2, 3, 3, 2)), ("axis: 1 offset: 1 offset: 0 offset: 2", (2, 2, 5, 1)), ("axis: -1", (9, 9, 9, 2)), ("", (1, 1, 2, 3, 7))],
)  # fmt: skip
def test_checks(fields, like):
    check_layer("Crop", f"crop_param {{ {fields} }}", [(2, 3, 5, 4), like])


@pytest.mark.parametrize(
    ("fields", "like", "text"),
    [
        ("offset: 4", (1, 1, 2, 2), "a crop within axis 2, which has 5 elements, got 2 from offset 4, x=(2, 3, 5, 4), like=(1, 1, 2, 2)"),
        ("offset: 1 offset: 1 offset: 1", (1, 1, 2, 2), "no offset, one, or one for each of 2 axes, got 3"),
        ("", (2, 2), "like with all of the axes of x, got x=(2, 3, 5, 4), like=(2, 2)"),
    ],
)  # fmt: skip
def test_bad_parameters(message, fields, like, text):
    assert (
        message("Crop", f"crop_param {{ {fields} }}", [(2, 3, 5, 4), like])
        == f"layer 'layer' (Crop): expected {text}"
    )
