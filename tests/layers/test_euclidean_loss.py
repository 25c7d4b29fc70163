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


def test_weights():
    x, target = np.array([[1.0, 2], [3, 4]]), np.array([[0.0, 0], [1, 0]])
    item = run_layer("EuclideanLoss", "", [x, target, [2, 0.5]], dy=[1])
    np.testing.assert_allclose(item.y[0], (2 * 5 + 0.5 * 20) / 4)
    np.testing.assert_allclose(item.dx[0], [[1, 2], [0.5, 1]])
    np.testing.assert_array_equal(item.dx[1], -item.dx[0])
    assert item.dx[2] is None
    element = run_layer("EuclideanLoss", "", [x, target, [[1, 0], [0, 2]]], dy=[1])
    np.testing.assert_allclose(element.y[0], (1 + 2 * 16) / 4)
    plain, ones = (
        run_layer("EuclideanLoss", "", [x, target]),
        run_layer("EuclideanLoss", "", [x, target, [1, 1]]),
    )
    assert ones.y[0] == plain.y[0]


@pytest.mark.parametrize("weight", [(3, 1), (3, 2, 3, 4)])
def test_checks_of_weights(weight):
    check_layer("EuclideanLoss", "", [(3, 2, 3, 4), (3, 2, 3, 4), weight])


def test_wrong_number_of_weights(message):
    assert message("EuclideanLoss", "", [(3, 4), (3, 4), (4,)]).endswith(
        "expected one weight for each of 12 elements, or for each of 3 items, got weight=(4,)"
    )
