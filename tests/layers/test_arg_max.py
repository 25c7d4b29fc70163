"""ArgMax."""

import pytest

from caffelite.testing import check_layer, make_layer, run_layer

X = [[3, 1, 2], [0, 5, 5]]


def arg_max(fields):
    return run_layer("ArgMax", f"argmax_param {{ {fields} }}", [X]).y[0].tolist()


def test_worked_examples():
    assert arg_max("") == [[[0]], [[2]]]  # of equal values the later one
    assert arg_max("top_k: 2") == [[[0, 2]], [[2, 1]]]
    assert arg_max("top_k: 2 out_max_val: true") == [[[0, 2], [3, 2]], [[2, 1], [5, 5]]]
    assert arg_max("axis: 0") == [[0, 1, 1]]
    assert arg_max("axis: 1 out_max_val: true") == [[3], [5]]


def test_shapes():
    assert make_layer("ArgMax", "argmax_param { top_k: 2 }").infer([(2, 3, 2, 2)]) == [(2, 1, 2, 1)]
    assert make_layer("ArgMax", "argmax_param { top_k: 2 axis: -2 }").infer([(2, 3, 4, 5)]) == [(2, 3, 2, 5)]


@pytest.mark.parametrize(
    "fields", ["", "top_k: 3 out_max_val: true", "axis: 1 top_k: 2", "axis: 2 out_max_val: true"]
)
def test_checks(fields):
    check_layer("ArgMax", f"argmax_param {{ {fields} }}")


@pytest.mark.parametrize("k", [0, 4])
def test_top_k_out_of_range(message, k):
    text = message("ArgMax", f"argmax_param {{ top_k: {k} }}", [(2, 3)])
    assert text == f"layer 'layer' (ArgMax): expected top_k from 1 to 3, got {k}"
