"""Pooling."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer
from caffelite.types import Phase


def pool(fields):
    return f"pooling_param {{ {fields} }}"


SQUARE = np.array([[[[1.0, 2, 3], [4, 9, 6], [7, 8, 5]]]])


def test_worked_max():
    run = run_layer(
        "Pooling", pool("kernel_size: 2"), [SQUARE], tops=2, dy=[[[[1, 2], [3, 4]]], [[[0, 0], [0, 0]]]]
    )
    np.testing.assert_array_equal(run.y[0], [[[[9, 9], [9, 9]]]])
    np.testing.assert_array_equal(run.y[1], [[[[4, 4], [4, 4]]]])  # row 1, column 1 of 3
    np.testing.assert_array_equal(run.dx[0], [[[[0, 0, 0], [0, 10, 0], [0, 0, 0]]]])


def test_worked_average():
    run = run_layer("Pooling", pool("pool: AVE kernel_size: 2"), [SQUARE], dy=[[[[4, 0], [0, 8]]]])
    np.testing.assert_array_equal(run.y[0], [[[[4, 5], [7, 7]]]])
    np.testing.assert_array_equal(run.dx[0], [[[[1, 1, 0], [1, 3, 2], [0, 2, 2]]]])


def test_average_counts_padding_but_no_overhang():
    ones = np.ones((1, 1, 4, 4))
    padded = run_layer("Pooling", pool("pool: AVE kernel_size: 3 stride: 2 pad: 1"), [ones]).y[0]
    # Of the last window's columns 3 to 5 the image has 3, padding has 4, and 5 is beyond.
    np.testing.assert_allclose(padded[0, 0, 0], [4 / 9, 6 / 9, 2 / 6])
    overhang = run_layer("Pooling", pool("pool: AVE kernel_size: 3 stride: 2"), [np.ones((1, 1, 6, 6))]).y[0]
    np.testing.assert_array_equal(overhang, np.ones((1, 1, 3, 3)))  # the last window averages two a side


def test_first_of_equal_wins_and_nan_never():
    x = [[[[5, 5], [np.nan, 5]]]]
    run = run_layer("Pooling", pool("kernel_size: 2"), [x], tops=2)
    assert (run.y[0].item(), run.y[1].item()) == (5, 0)
    run = run_layer("Pooling", pool("kernel_size: 1"), [[[[np.nan]]]], tops=2)
    assert (run.y[0].item(), run.y[1].item()) == (-3.4028234663852886e38, -1)


def test_windows_that_start_beyond_the_image():
    """A stride larger than the kernel makes them where there is no padding, as in Caffe."""
    x = np.ones((1, 1, 4, 4))
    run = run_layer("Pooling", pool("kernel_size: 1 stride: 4"), [x], tops=2)
    assert (run.y[0][0, 0, 1, 1], run.y[1][0, 0, 1, 1]) == (-3.4028234663852886e38, -1)
    assert run_layer("Pooling", pool("pool: AVE kernel_size: 1 stride: 4"), [x]).y[0][0, 0, 1, 1] == 0


@pytest.mark.parametrize(
    ("fields", "size", "out"),
    [
        ("kernel_size: 2 stride: 2 pad: 1", 5, 3),
        ("kernel_size: 2 stride: 3 pad: 1", 4, 2),
        ("kernel_size: 3 stride: 2", 6, 3),
        ("kernel_size: 3 stride: 2 round_mode: FLOOR", 6, 2),
        ("kernel_size: 2 stride: 2", 1, 1),
        ("global_pooling: true", 7, 1),
    ],
)
def test_sizes(fields, size, out):
    assert make_layer("Pooling", pool(fields)).infer([(1, 1, size, size)]) == [(1, 1, out, out)]


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ("kernel_size: 2 stride: 2", (2, 3, 5, 4)),
        ("kernel_size: 3 stride: 2 pad: 1", (2, 3, 6, 5)),
        ("kernel_size: 3", (1, 2, 4, 5)),
        ("kernel_h: 1 kernel_w: 3 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 1", (2, 2, 5, 4)),
        ("kernel_size: 2 stride: 3", (2, 2, 7, 7)),
        ("kernel_size: 3 stride: 2 round_mode: FLOOR", (2, 2, 6, 8)),
        ("global_pooling: true", (2, 3, 4, 3)),
        ("kernel_size: 2 stride: 2", (2, 3, 5)),
        ("kernel_size: 2", (1, 2, 3, 4, 3)),
        ("kernel_size: 3 stride: 2 pad: 1", (2, 3, 7)),
        ("kernel_size: 3 stride: 2 pad: 1", (1, 2, 4, 3, 6)),
        ("kernel_size: 2 stride: 2 round_mode: FLOOR", (1, 2, 4, 3, 5)),
        (
            "kernel_size_3d: 1 kernel_size_3d: 2 kernel_size_3d: 3 stride_3d: 1 stride_3d: 2 stride_3d: 2 pad_3d: 0 pad_3d: 0 pad_3d: 1",
            (1, 2, 3, 4, 6),
        ),
        ("global_pooling: true", (2, 3, 2, 3, 2)),
        ("kernel_size: 2", (1, 1, 2, 3, 2, 3)),
    ],
)
def test_checks(method, fields, shape):
    check_layer("Pooling", pool(f"pool: {method} {fields}"), [shape])


def test_a_pair_of_sizes_is_for_two_axes(message):
    text = message("Pooling", pool("kernel_h: 2 kernel_w: 2"), [(1, 2, 3, 4, 5)])
    assert (
        text == "layer 'layer' (Pooling): expected kernel_h and kernel_w only with 2 spatial axes, got 3 axes"
    )


def test_volumes():
    """A volume of depth 1 pools as its plane does."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 5, 6))
    for method in ("MAX", "AVE"):
        flat = pool(f"pool: {method} kernel_size: 3 stride: 2 pad: 1")
        deep = pool(
            f"pool: {method} kernel_size_3d: 1 kernel_size_3d: 3 kernel_size_3d: 3 "
            "stride_3d: 1 stride_3d: 2 stride_3d: 2 pad_3d: 0 pad_3d: 1 pad_3d: 1"
        )
        plane, volume = (
            run_layer("Pooling", flat, [x], dy=[1]),
            run_layer("Pooling", deep, [x[:, :, None]], dy=[1]),
        )
        np.testing.assert_array_equal(volume.y[0][:, :, 0], plane.y[0])
        np.testing.assert_array_equal(volume.dx[0][:, :, 0], plane.dx[0])


def test_the_mask_finds_the_winners_in_a_volume():
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 3, 5))
    y, mask = run_layer("Pooling", pool("kernel_size: 3 stride: 2 pad: 1"), [x], tops=2).y
    found = np.take_along_axis(x.reshape(2, 3, -1), mask.reshape(2, 3, -1).astype(int), axis=2)
    np.testing.assert_array_equal(found.reshape(y.shape), y)


def test_mask_checks():
    check_layer("Pooling", pool("kernel_size: 3 stride: 2 pad: 1"), [(2, 3, 6, 5)], tops=2)


def test_windows_too_large_for_a_byte():
    check_layer("Pooling", pool("global_pooling: true"), [(1, 2, 17, 16)])


@pytest.mark.parametrize("phase", Phase)
def test_stochastic(phase):
    for shape in ((2, 3, 5, 4), (2, 3, 5), (1, 2, 3, 4, 3)):
        check_layer(
            "Pooling", pool("pool: STOCHASTIC kernel_size: 2 stride: 2"), [shape], phase=phase, low=0.1
        )


def test_stochastic_draws_by_size():
    x = np.broadcast_to([1.0, 3.0], (1, 1, 4000, 2)).copy()
    drawn = run_layer("Pooling", pool("pool: STOCHASTIC kernel_h: 1 kernel_w: 2"), [x]).y[0]
    assert abs((drawn == 3).mean() - 0.75) < 0.03
    mean = run_layer("Pooling", pool("pool: STOCHASTIC kernel_h: 1 kernel_w: 2"), [x], phase=Phase.TEST).y[0]
    np.testing.assert_array_equal(mean, np.full((1, 1, 4000, 1), 2.5))
    zeros = run_layer(
        "Pooling", pool("pool: STOCHASTIC kernel_size: 2"), [np.zeros((1, 1, 2, 2))], phase=Phase.TEST
    )
    assert zeros.y[0].item() == 0


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ("stride: 2", "a kernel size, got none\n  Fix: set kernel_size, or kernel_h and kernel_w"),
        ("kernel_size: 0", "kernel_size >= 1, got (0, 0)"),
        ("kernel_size: 2 stride: 0", "stride >= 1, got (0, 0)"),
        ("kernel_size: 2 kernel_h: 2 kernel_w: 2", "either kernel_size or kernel_h and kernel_w, got both"),
        ("kernel_h: 2", "both kernel_h and kernel_w, got one"),
        ("pad_w: 1 kernel_size: 2", "both pad_h and pad_w, got one"),
        ("kernel_size: 2 kernel_h: 2", "both kernel_h and kernel_w, got one"),
        ("kernel_size: 2 kernel_size_3d: 2", "either kernel_size or kernel_size_3d, got both"),
        ("kernel_size: 2 stride_3d: 2", "stride_3d only with 1 spatial axes, got 2 axes"),
        ("global_pooling: true kernel_size_3d: 2", "no kernel size with global_pooling: true, got one"),
        ("kernel_size: 2 pad: 2", "pad smaller than the kernel, got pad (2, 2), kernel (2, 2)"),
        ("global_pooling: true kernel_size: 2", "no kernel size with global_pooling: true, got one"),
        (
            "global_pooling: true pad: 1",
            "pad 0 and stride 1 with global_pooling, got pad (1, 1), stride (1, 1)",
        ),
        ("pool: STOCHASTIC kernel_size: 3 pad: 1", "pad: 0 with STOCHASTIC, got (1, 1)"),
        (
            "kernel_size: 7 round_mode: FLOOR",
            "a kernel that fits the padded input, got kernel (7, 7), stride (1, 1), pad (0, 0), x (N, C, 5, 4)\n"
            "  Fix: use a smaller kernel_size, a larger image, or global_pooling: true",
        ),
    ],
)
def test_bad_parameters(message, fields, text):
    assert message("Pooling", pool(fields)) == f"layer 'layer' (Pooling): expected {text}"


def test_mask_needs_max(message):
    text = message("Pooling", pool("pool: AVE kernel_size: 2"), tops=2)
    assert text == "layer 'layer' (Pooling): expected pool: MAX for a second top (the mask), got AVE"


@pytest.mark.parametrize("shape", [(2, 3, 0, 4), (2, 3, 0)])
def test_no_elements(message, shape):
    text = message("Pooling", pool("global_pooling: true"), [shape])
    assert "expected at least 1 element in each spatial axis, got sizes (0" in text


def test_two_axes(message):
    text = message("Pooling", pool("kernel_size: 2"), [(2, 3)])
    assert text == "layer 'layer' (Pooling): expected x (N, C, *S) with at least 3 axes, got x=(2, 3)"
