"""Split."""

import numpy as np

from caffelite.testing import LayerCase, Variant, check_layer, run_layer
from caffelite.testing.case import Run


def test_worked_example():
    run = run_layer("Split", "", [[1, 2]], tops=2, dy=[[10, 20], [1, 2]])
    np.testing.assert_array_equal(run.y, [[1, 2], [1, 2]])
    np.testing.assert_array_equal(run.dx[0], [11, 22])


def test_checks():
    for tops in (1, 2, 3):
        check_layer("Split", "", [(2, 3, 5, 4)], tops=tops)


def test_tops_without_gradient_do_not_count():
    run = Run(LayerCase("Split", "", ((2,),), tops=2), Variant()).forward()
    run.dy = [None, np.array([1, 2], np.float32)]
    np.testing.assert_array_equal(run.backward().dx[0], [1, 2])
    run.dy = [None, None]
    np.testing.assert_array_equal(run.backward().dx[0], [0, 0])
