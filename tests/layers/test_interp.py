"""Interp."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer


def interp(x, sizes):
    """caffe_cpu_interp2 of DeepLab: a loop over the places of the top, with float32 positions."""
    height, width = x.shape[2:]
    steps = [
        np.float32(old - 1) / np.float32(new - 1) if new > 1 else np.float32(0)
        for old, new in zip((height, width), sizes, strict=True)
    ]
    y = np.empty((*x.shape[:2], *sizes))
    for i, j in np.ndindex(*sizes):
        at = steps[0] * np.float32(i), steps[1] * np.float32(j)
        h, w = int(at[0]), int(at[1])
        below, right = h + (h < height - 1), w + (w < width - 1)
        down, over = at[0] - h, at[1] - w
        upper = (1 - over) * x[:, :, h, w] + over * x[:, :, h, right]
        lower = (1 - over) * x[:, :, below, w] + over * x[:, :, below, right]
        y[:, :, i, j] = (1 - down) * upper + down * lower
    return y


@pytest.mark.parametrize(
    ("text", "shape", "sizes"),
    [
        ("height: 9 width: 3", (2, 3, 4, 5), (9, 3)),
        ("height: 4 width: 5", (2, 3, 4, 5), (4, 5)),
        ("height: 1 width: 1", (2, 3, 4, 5), (1, 1)),
        ("height: 6 width: 6", (1, 2, 1, 1), (6, 6)),  # PSPNet's pyramid
        ("zoom_factor: 3", (2, 3, 4, 5), (10, 13)),
        ("shrink_factor: 2", (2, 3, 8, 5), (4, 3)),
        ("shrink_factor: 2 zoom_factor: 3", (1, 2, 8, 5), (10, 7)),
        ("zoom_factor: 3 height: 7 width: 7", (1, 1, 4, 5), (10, 13)),  # one factor goes before sizes
        ("shrink_factor: 2 height: 7 width: 7", (1, 1, 4, 5), (2, 3)),
        ("shrink_factor: 2 zoom_factor: 3 height: 7 width: 6", (1, 1, 4, 5), (7, 6)),  # two do not
    ],
)
def test_against_the_loop(text, shape, sizes):
    x = np.random.default_rng(1).random(shape)
    run = run_layer("Interp", f"interp_param {{ {text} }}", [x])
    np.testing.assert_allclose(run.y[0], interp(x, sizes), atol=1e-6)


@pytest.mark.parametrize(("begin", "end"), [(-1, 0), (0, -2), (-1, -1)])
def test_negative_padding_cuts(begin, end):
    x = np.random.default_rng(1).random((2, 2, 6, 7))
    text = f"interp_param {{ zoom_factor: 2 pad_beg: {begin} pad_end: {end} }}"
    run = run_layer("Interp", text, [x], dy=[1])
    cut = x[:, :, -begin : 6 + end, -begin : 7 + end]
    np.testing.assert_allclose(run.y[0], interp(cut, [2 * size - 1 for size in cut.shape[2:]]), atol=1e-6)
    assert run.dx[0].sum() == pytest.approx(run.y[0].size)
    assert not run.dx[0][:, :, : -begin or 0].any() and not run.dx[0][:, :, 6 + end :].any()


def test_sizes_of_a_second_bottom():
    x = np.random.default_rng(1).random((1, 2, 3, 4))
    run = run_layer("Interp", "", [x, np.zeros((5, 1, 6, 2))])
    np.testing.assert_allclose(run.y[0], interp(x, (6, 2)), atol=1e-6)


def test_a_nan_stays_where_it_is():
    x = np.ones((1, 1, 4, 4))
    x[0, 0, 0, 0] = np.nan
    y = run_layer("Interp", "interp_param { zoom_factor: 2 }", [x]).y[0]
    assert np.isnan(y[0, 0, :2, :2]).all() and np.isnan(y).sum() == 4


@pytest.mark.parametrize(
    "text",
    [
        "height: 7 width: 3",
        "zoom_factor: 3 pad_beg: -1",
        "shrink_factor: 2 pad_end: -1",
        "height: 1 width: 9",
    ],
)
def test_checks(text):
    check_layer("Interp", f"interp_param {{ {text} }}", [(2, 3, 5, 6)])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pad_beg: 1", "expected pad_beg <= 0, which cuts, got 1"),
        ("zoom_factor: 0", "expected zoom_factor >= 1, got 0"),
        ("shrink_factor: -1", "expected shrink_factor >= 1, got -1"),
        ("height: 0 width: 4", "expected height and width >= 1, got 0 x 4"),
        ("", "expected a size, got none\n  Fix: set height and width, zoom_factor or shrink_factor"),
        ("height: 4", "expected a size, got none"),
        ("zoom_factor: 2 pad_beg: -3 pad_end: -2", "expected something left of x after pad_beg and pad_end"),
    ],
)
def test_bad_parameters(message, text, told):
    assert told in message("Interp", f"interp_param {{ {text} }}", [(1, 1, 5, 4)])


def test_sizes_beyond_any_memory_are_the_planners_to_refuse():
    layer = make_layer("Interp", "interp_param { height: 2147483647 width: 2147483647 }")
    assert layer.infer([(1, 1, 2, 2)]) == [(1, 1, 2147483647, 2147483647)]


def test_bad_shapes(message):
    assert "expected bottoms (N, C, H, W), got (3, 4)" in message(
        "Interp", "interp_param { zoom_factor: 2 }", [(3, 4)]
    )
