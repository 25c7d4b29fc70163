"""EuclideanLoss."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


def test_worked_example():
    run = run_layer("EuclideanLoss", "", [[[1, 2], [3, 4]], [[1, 0], [0, 4]]], dy=[2.0])
    assert run.y[0] == (4 + 9) / 4
    np.testing.assert_array_equal(run.dx[0], [[0, 2], [3, 0]])
    np.testing.assert_array_equal(run.dx[1], [[0, -2], [-3, 0]])


@pytest.mark.parametrize(
    "shapes", [[(3, 5), (3, 5)], [(2, 3, 4, 5), (2, 3, 4, 5)], [(2, 6), (2, 3, 2)], [(3,), (3,)]]
)
def test_checks(shapes):
    check_layer("EuclideanLoss", "", shapes)


@pytest.mark.parametrize("other", [(2, 5), (3, 4), ()])
def test_shapes(message, other):
    assert message("EuclideanLoss", "", [(3, 5), other]) == (
        "layer 'layer' (EuclideanLoss): expected x and target with as many items of as many elements, "
        f"got x=(3, 5), target={other}"
    )
