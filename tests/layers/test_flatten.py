"""Flatten."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer


def test_worked_example():
    run = run_layer("Flatten", "", [[[[1, 2], [3, 4]]]], dy=[[[5, 6, 7, 8]]])
    np.testing.assert_array_equal(run.y[0], [[1, 2, 3, 4]])
    np.testing.assert_array_equal(run.dx[0], [[[5, 6], [7, 8]]])


@pytest.mark.parametrize(
    ("fields", "top"),
    [("", (2, 60)), ("axis: 0", (120,)), ("axis: 1 end_axis: 2", (2, 15, 4)), ("axis: -2", (2, 3, 20)), ("axis: 3", (2, 3, 5, 4)),
     ("axis: 2 end_axis: 1", (2, 3, 1, 5, 4))],
)  # fmt: skip
def test_checks(fields, top):
    text = f"flatten_param {{ {fields} }}"
    assert make_layer("Flatten", text).infer([(2, 3, 5, 4)]) == [top]
    check_layer("Flatten", text)


def test_axes_in_the_wrong_order(message):
    text = message("Flatten", "flatten_param { axis: 3 end_axis: 1 }")
    assert text == "layer 'layer' (Flatten): expected axis <= end_axis + 1, got axis 3, end_axis 1"
