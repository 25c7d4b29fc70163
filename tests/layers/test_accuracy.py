"""Accuracy."""

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.layers.base import has_backward
from caffelite.testing import check_layer, make_layer, run_layer


def accuracy(scores, labels, fields="", tops=1):
    run = run_layer("Accuracy", f"accuracy_param {{ {fields} }}", [scores, labels], tops=tops)
    return [y.tolist() for y in run.y]


def test_worked_example():
    scores = [[3, 2, 1], [3, 2, 1], [1, 2, 3], [2, 3, 1]]
    assert accuracy(scores, [0, 1, 2, 2]) == [0.5]
    assert accuracy(scores, [0, 1, 2, 2], "top_k: 2") == [0.75]
    assert accuracy(scores, [0, 1, 2, 2], "top_k: 3") == [1.0]


def test_ties_count_against():
    assert accuracy([[1, 1, 0], [0, 1, 0]], [0, 1]) == [0.5]
    assert accuracy([[1, 1, 1]], [0], "top_k: 2") == [0.0]


def test_ignored_labels_do_not_count():
    scores = [[3, 2, 1], [3, 2, 1], [1, 2, 3]]
    assert accuracy(scores, [0, 1, 255], "ignore_label: 255") == [0.5]
    assert accuracy(scores, [7, 7, 7], "ignore_label: 7") == [0.0]


def test_by_class():
    scores = [[3, 2, 1], [3, 2, 1], [1, 2, 3], [2, 3, 1]]
    assert accuracy(scores, [0, 0, 2, 2], tops=2) == [0.75, [1.0, 0.0, 0.5]]  # no label of class 1
    assert accuracy(scores, [0, 9, 2, 2], "ignore_label: 9", tops=2)[1] == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("tops", [1, 2])
def test_checks(tops):
    check_layer("Accuracy", "", [(6, 4), (6,)], labels={1: 4}, tops=tops)
    check_layer(
        "Accuracy",
        "accuracy_param { ignore_label: 0 }",
        [(2, 4, 3, 5), (2, 1, 3, 5)],
        labels={1: 4},
        tops=tops,
    )
    check_layer(
        "Accuracy", "accuracy_param { axis: 2 top_k: 2 }", [(2, 3, 4), (2, 3)], labels={1: 4}, tops=tops
    )


def test_no_gradient():
    assert not has_backward(make_layer("Accuracy", bottoms=2))


def test_label_out_of_range():
    with pytest.raises(DataError, match=r"expected labels from 0 to 1 \(2 classes\), got 2 at index 1"):
        accuracy(np.zeros((2, 2)), [0, 2])
    with pytest.raises(
        DataError, match=r"Fix: where 255 means no class at all: accuracy_param { ignore_label: 255 }$"
    ):
        accuracy(np.zeros((2, 2)), [0, 255])


@pytest.mark.parametrize("k", [0, 5])
def test_top_k_out_of_range(message, k):
    text = message("Accuracy", f"accuracy_param {{ top_k: {k} }}", [(3, 4), (3,)])
    assert text == f"layer 'layer' (Accuracy): expected top_k from 1 to 4, the number of classes, got {k}"
