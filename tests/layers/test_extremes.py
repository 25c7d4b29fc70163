"""Parameters and shapes at the ends of what a prototxt can say: no other exception, no absurd memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from caffelite.errors import ShapeError
from caffelite.testing import check_layer, make_layer, run_layer


def test_exp_of_a_huge_shift_is_infinite():
    assert make_layer("Exp", "exp_param { shift: 1000 }").outer == np.inf


def test_reduction_of_a_scalar():
    for operation in ("SUM", "ASUM", "SUMSQ", "MEAN"):
        check_layer("Reduction", f"reduction_param {{ operation: {operation} coeff: 2 }}", [()])


def test_tiles_beyond_memory_cost_nothing_until_the_shape_is_checked():
    tracemalloc.start()
    shapes = make_layer("Tile", "tile_param { tiles: 2147483647 }").infer([(2, 3)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert shapes == [(2, 3 * 2147483647)]
    assert peak < 1e6


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_a_pooling_window_far_larger_than_the_image_is_the_image(method):
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    huge = run_layer(
        "Pooling", f"pooling_param {{ pool: {method} kernel_size: 1000000 stride: 1000000 }}", [x], dy=[1]
    )
    whole = run_layer("Pooling", f"pooling_param {{ pool: {method} global_pooling: true }}", [x], dy=[1])
    np.testing.assert_array_equal(huge.y[0], whole.y[0])
    np.testing.assert_array_equal(huge.dx[0], whole.dx[0])


@pytest.mark.parametrize("pad", [0, 1, 2])
def test_a_pooling_window_larger_than_image_and_padding(pad):
    # Caffe divides by what lies within the padding: sizes 3 + 2 pad and 4 + 2 pad.
    x = np.ones((1, 1, 3, 4), np.float32)
    text = f"pooling_param {{ pool: AVE kernel_size: 9 stride: 9 pad: {pad} }}"
    y = run_layer("Pooling", text, [x]).y[0]
    np.testing.assert_allclose(y, np.full((1, 1, 1, 1), 12 / ((3 + 2 * pad) * (4 + 2 * pad))), rtol=1e-6)


def test_an_axis_of_a_scalar_is_refused_in_words():
    with pytest.raises(ShapeError, match="at least 1 axis"):
        make_layer("Softmax").infer([()])


@pytest.mark.parametrize("type_", ["SoftmaxWithLoss", "Accuracy"])
def test_scores_without_classes_are_refused(type_):
    with pytest.raises(ShapeError, match="at least 1 class"):
        make_layer(type_, bottoms=2).infer([(2, 0), (2,)])
