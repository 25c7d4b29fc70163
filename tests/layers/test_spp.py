"""SPP."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer
from caffelite.types import Phase


def spp(fields):
    return f"spp_param {{ {fields} }}"


X = np.arange(16.0).reshape(1, 1, 4, 4)


def test_worked_example():
    run = run_layer("SPP", spp("pyramid_height: 2"), [X], dy=[[[10, 1, 2, 3, 4]]])
    np.testing.assert_array_equal(run.y[0], [[15, 5, 7, 13, 15]])
    np.testing.assert_array_equal(run.dx[0][0, 0], [[0, 0, 0, 0], [0, 1, 0, 2], [0, 0, 0, 0], [0, 3, 0, 14]])
    run = run_layer("SPP", spp("pyramid_height: 2 pool: AVE"), [X], dy=[[[16, 4, 8, 12, 16]]])
    np.testing.assert_array_equal(run.y[0], [[7.5, 2.5, 4.5, 10.5, 12.5]])
    np.testing.assert_array_equal(run.dx[0][0, 0, ::2, ::2], [[2, 3], [4, 5]])


def test_padding_as_in_caffe():
    """5 into 2 bins: 3 long, 1 of padding on the left, which an average counts."""
    run = run_layer("SPP", spp("pyramid_height: 2 pool: AVE"), [np.full((1, 1, 5, 4), 6.0)])
    np.testing.assert_array_equal(run.y[0], [[6, 4, 4, 6, 6]])


def test_channels_before_bins():
    x = np.stack([X[0, 0], 100 + X[0, 0]])[None]
    run = run_layer("SPP", spp("pyramid_height: 2"), [x])
    np.testing.assert_array_equal(run.y[0], [[15, 115, 5, 7, 13, 15, 105, 107, 113, 115]])


def test_images_that_caffe_fails_on():
    """4 bins over 5 rows: 0-2, 1-3, 2-4, 3-5; over 3: 0-1, 0-2, 1-3, 2-3."""
    x = np.arange(15.0).reshape(1, 1, 5, 3)
    run = run_layer("SPP", spp("pyramid_height: 3"), [x], dy=[1])
    rows, columns = np.array([1, 2, 3, 4]), np.array([0, 1, 2, 2])
    np.testing.assert_array_equal(run.y[0][0, 5:].reshape(4, 4), x[0, 0][np.ix_(rows, columns)])
    assert run.dx[0].sum() == 21
    run = run_layer("SPP", spp("pyramid_height: 3 pool: AVE"), [x])
    second = [
        x[0, 0, 1:3, columns].mean() for columns in (slice(0, 1), slice(0, 2), slice(1, 3), slice(2, 3))
    ]
    np.testing.assert_allclose(run.y[0][0, 5:].reshape(4, 4)[1], second)


@pytest.mark.parametrize("size", range(1, 34))
def test_each_image_gives_as_many_numbers_and_each_pixel_counts(size):
    run = run_layer("SPP", spp("pyramid_height: 4 pool: AVE"), [np.ones((1, 1, size, 35))], dy=[1])
    assert run.y[0].shape == (1, 85)
    assert (run.y[0] > 0).all() and (run.dx[0] > 0).all()


def test_one_level_keeps_four_axes():
    assert make_layer("SPP", spp("pyramid_height: 1")).infer([(2, 3, 5, 4)]) == [(2, 3, 1, 1)]
    assert make_layer("SPP", spp("pyramid_height: 2")).infer([(2, 3, 5, 4)]) == [(2, 15)]


@pytest.mark.parametrize("fields", ["pyramid_height: 1", "pyramid_height: 3"])
@pytest.mark.parametrize("shape", [(2, 3, 7, 5), (2, 2, 8, 8), (1, 2, 2, 1)])
def test_checks(fields, shape):
    check_layer("SPP", spp(fields), [shape])
    check_layer("SPP", spp(f"{fields} pool: AVE"), [shape])
    for phase in Phase:
        check_layer("SPP", spp(f"{fields} pool: STOCHASTIC"), [shape], phase=phase, low=0.1)


def test_other_numbers_of_axes():
    check_layer("SPP", spp("pyramid_height: 3"), [(2, 3, 5)])
    check_layer("SPP", spp("pyramid_height: 2 pool: AVE"), [(1, 2, 3, 4, 2)])


@pytest.mark.parametrize("height", ["", "pyramid_height: 0", "pyramid_height: 16"])
def test_bad_height(message, height):
    text = message("SPP", spp(height))
    assert (
        text == f"layer 'layer' (SPP): expected pyramid_height from 1 to 15, got {height[-2:].strip() or 0}"
    )


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 0, 4), (2, 0, 3, 3)])
def test_bad_shapes(message, shape):
    assert message("SPP", spp("pyramid_height: 2"), [shape]) == (
        f"layer 'layer' (SPP): expected x (N, C, *S) with at least 3 axes, none but the first of size 0, got x={shape}"
    )
