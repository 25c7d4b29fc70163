"""BatchReindex."""

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.testing import check_layer, run_layer

X = np.arange(6.0).reshape(3, 2)


def test_worked_example():
    run = run_layer("BatchReindex", "", [X, [2, 0, 2, 0.9]], dy=[[[1], [2], [3], [4]]])  # 0.9 is 0
    np.testing.assert_array_equal(run.y[0], [[4, 5], [0, 1], [4, 5], [0, 1]])
    np.testing.assert_array_equal(run.dx[0], [[6, 6], [0, 0], [4, 4]])
    assert run.dx[1] is None


def test_checks():
    check_layer("BatchReindex", "", [(3, 2, 4, 5), (3,)], values={1: [2, 0, 2]}, labels={1: 1})
    check_layer("BatchReindex", "", [(4,), (4,)], values={1: [3, 3, 1, 2]}, labels={1: 1})


def test_nothing_is_asked_for():
    run = run_layer("BatchReindex", "", [X, []], dy=[0])
    assert run.y[0].shape == (0, 2)
    assert not run.dx[0].any()


@pytest.mark.parametrize(
    ("index", "got"), [(3, "3 at index 1"), (-0.5, "-0.5 at index 1"), (float("nan"), "nan at index 1")]
)
def test_index_out_of_range(index, got):
    with pytest.raises(DataError, match=rf"expected indices from 0 to 2 \(x has 3 items\), got {got}"):
        run_layer("BatchReindex", "", [X, [0, index]])


@pytest.mark.parametrize("shapes", [[(3, 2), (4, 1)], [(), (2,)], [(3,), ()]])
def test_bad_shapes(message, shapes):
    x, index = shapes
    assert message("BatchReindex", "", shapes) == (
        f"layer 'layer' (BatchReindex): expected x (N, *S) and index (M,), got x={x}, index={index}"
    )
