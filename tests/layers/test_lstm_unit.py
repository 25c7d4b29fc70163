"""LSTMUnit."""

import re

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer

UNIT = [(1, 4, 3), (1, 4, 12), (1, 4)]


@pytest.mark.parametrize("cont", [{2: 2}, {}], ids=["cut or not", "between"])
def test_checks(cont):
    check_layer("LSTMUnit", "", UNIT, tops=2, labels=cont)


def test_worked_example():
    c_prev, gates = [[[2.0], [2.0]]], [[[0.0, 0.0, 0.0, 100.0]] * 2]
    run = run_layer("LSTMUnit", "", [c_prev, gates, [[1, 0]]], tops=2)
    c, h = run.y
    np.testing.assert_allclose(c, [[[1.5], [0.5]]])  # half of g = 1, and half of c_prev where it goes on
    np.testing.assert_allclose(h, 0.5 * np.tanh(c))


@pytest.mark.parametrize(
    ("shapes", "got"),
    [
        ([(2, 4, 3), (2, 4, 12), (2, 4)], r"expected c_prev \(1, N, H\), got c_prev=\(2, 4, 3\)"),
        ([(1, 4, 3), (1, 4, 9), (1, 4)], r"expected gates \(1, 4, 12\) and cont \(1, 4\) .*got gates=\(1, 4, 9\)"),
        ([(1, 4, 3), (1, 4, 12), (1, 4, 1)], r"cont=\(1, 4, 1\)"),
    ],
)  # fmt: skip
def test_shapes(message, shapes, got):
    assert re.search(got, message("LSTMUnit", "", shapes, tops=2))
