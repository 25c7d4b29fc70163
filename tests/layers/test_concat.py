"""Concat."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


def test_worked_example():
    run = run_layer("Concat", "", [[[1, 2], [3, 4]], [[5], [6]]], dy=[[[1, 2, 3], [4, 5, 6]]])
    np.testing.assert_array_equal(run.y[0], [[1, 2, 5], [3, 4, 6]])
    np.testing.assert_array_equal(run.dx[0], [[1, 2], [4, 5]])
    np.testing.assert_array_equal(run.dx[1], [[3], [6]])


@pytest.mark.parametrize(
    ("fields", "shapes"),
    [
        ("", [(2, 3, 5, 4), (2, 1, 5, 4), (2, 2, 5, 4)]),
        ("axis: 0", [(2, 3), (1, 3)]),
        ("axis: -1", [(2, 3, 1), (2, 3, 4)]),
        ("concat_dim: 1", [(2, 3), (2, 3)]),
        ("", [(2, 3, 4)]),
    ],
)
def test_checks(fields, shapes):
    check_layer("Concat", f"concat_param {{ {fields} }}", shapes)


def test_other_axes_differ(message):
    text = message("Concat", "", [(2, 3, 4), (2, 3, 5)])
    assert (
        text
        == "layer 'layer' (Concat): expected bottoms that differ in axis 1 only, got x[0]=(2, 3, 4), x[1]=(2, 3, 5)"
    )


def test_both_axes(message):
    text = message("Concat", "concat_param { axis: 1 concat_dim: 1 }", [(2, 3)])
    assert (
        text == "layer 'layer' (Concat): expected either axis or concat_dim, got both\n  Fix: drop concat_dim"
    )
