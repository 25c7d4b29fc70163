"""Pooling through oneDNN."""

from __future__ import annotations

import numpy as np
import pytest


def fields(text):
    return f"pooling_param {{ {text} }}"


WINDOWS = [
    "kernel_size: 2 stride: 2",
    "kernel_size: 3 stride: 2",
    "kernel_size: 3 stride: 2 round_mode: FLOOR",
    "kernel_size: 3 pad: 1",
    "kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 1",
    "global_pooling: true",
]


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", [(2, 4, 7, 8), (1, 17, 6, 5)])
def test_windows(agrees, method, window, shape):
    agrees("Pooling", fields(f"pool: {method} {window}"), shape)


@pytest.mark.parametrize("shape", [(2, 3, 9), (2, 3, 4, 5, 4), (2, 1, 6, 5)])
def test_other_shapes(agrees, shape):
    agrees("Pooling", fields("kernel_size: 2 stride: 2"), shape)


def test_many_places_in_a_window(agrees):
    agrees("Pooling", fields("kernel_size: 17"), (1, 3, 18, 19))


def test_ties_go_to_the_first_place_in_scan_order(run_kernel):
    run = run_kernel("Pooling", fields("kernel_size: 2"), (1, 16, 2, 2), values={0: np.ones((1, 16, 2, 2))})
    run.forward().backward()
    np.testing.assert_array_equal(run.dx[0][:, :, 0, 0], run.dy[0][:, :, 0, 0])
    assert not run.dx[0][:, :, 0, 1].any()
    assert not run.dx[0][:, :, 1].any()


def test_maxima_over_padding_overhang_of_even_images(agrees):
    agrees("Pooling", fields("kernel_size: 3 stride: 2 pad: 1"), (2, 4, 8, 8))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pool: AVE kernel_size: 3 stride: 2 pad: 1", "windows reach beyond the padding"),
        ("pool: MAX kernel_size: 1 stride: 3", "a window lies outside the image"),
        ("pool: STOCHASTIC kernel_size: 2", "no STOCHASTIC"),
    ],
)
def test_what_is_left_to_the_array_body(objections, text, words):
    for objection in objections("Pooling", fields(text), (2, 4, 8, 8)):
        assert words in objection


def test_a_mask_is_left_to_the_array_body(objections):
    for objection in objections("Pooling", fields("kernel_size: 2"), (2, 4, 8, 8), tops=2):
        assert "no mask" in objection


def test_more_than_three_spatial_axes_are_left_to_the_array_body(objections):
    for objection in objections("Pooling", fields("kernel_size: 2"), (1, 1, 2, 3, 2, 3)):
        assert "at most 3 spatial axes" in objection


def test_a_size_for_each_axis(agrees):
    sizes = "kernel_size_3d: 1 kernel_size_3d: 2 kernel_size_3d: 3 stride_3d: 1 stride_3d: 2 stride_3d: 1"
    agrees("Pooling", fields(sizes), (2, 3, 3, 4, 5))
