"""MultinomialLogisticLoss."""

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.testing import check_layer, run_layer

X = [[0.25, 0.75], [0.5, 0.1]]  # rows need not add up to 1


def test_worked_example():
    run = run_layer("MultinomialLogisticLoss", "", [X, [1, 0.9]], dy=[2])
    np.testing.assert_allclose(run.y[0], -np.log(0.75 * 0.5) / 2)
    np.testing.assert_allclose(run.dx[0], [[0, -1 / 0.75], [-2, 0]])


def test_cap():
    run = run_layer("MultinomialLogisticLoss", "", [[[0.0, 1]], [0]], dy=[1])
    np.testing.assert_allclose(run.y[0], 46.0517, rtol=1e-6)
    np.testing.assert_allclose(run.dx[0], [[-1e20, 0]])


def test_checks():
    check_layer("MultinomialLogisticLoss", "", [(3, 5), (3,)], labels={1: 5}, low=0.1)
    check_layer("MultinomialLogisticLoss", "", [(3, 2, 2, 3), (3, 1, 1, 1)], labels={1: 12}, low=0.1)


def test_label_out_of_range():
    with pytest.raises(DataError, match=r"expected labels from 0 to 1 \(2 classes\), got 2 at index 1"):
        run_layer("MultinomialLogisticLoss", "", [X, [0, 2]])


def test_wrong_number_of_labels(message):
    text = message("MultinomialLogisticLoss", "", [(3, 4), (3, 4)])
    assert text.startswith(
        "layer 'layer' (MultinomialLogisticLoss): expected one label for each of 3 predictions"
    )
