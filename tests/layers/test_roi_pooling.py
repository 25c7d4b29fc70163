"""ROIPooling, against loops over single elements."""

import math

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.testing import check_layer, run_layer

LOWEST = -np.finfo(np.float32).max


def c_round(value):
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def edges(start, end, cells, limit):
    size = np.float32(max(end - start + 1, 1)) / np.float32(cells)
    for cell in range(cells):
        first = math.floor(np.float32(cell) * size) + start
        after = math.ceil(np.float32(cell + 1) * size) + start
        yield range(min(max(first, 0), limit), min(max(after, 0), limit))


def by_loops(x, rois, height, width, scale, dy):
    y, dx = np.zeros((len(rois), x.shape[1], height, width)), np.zeros(x.shape)
    for r, (item, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (c_round(float(np.float32(c) * np.float32(scale))) for c in corners)
        for c in range(x.shape[1]):
            for i, rows in enumerate(edges(y1, y2, height, x.shape[2])):
                for j, cols in enumerate(edges(x1, x2, width, x.shape[3])):
                    best, at = (LOWEST, None) if len(rows) and len(cols) else (0, None)
                    for h in rows:
                        for w in cols:
                            if x[int(item), c, h, w] > best:
                                best, at = x[int(item), c, h, w], (h, w)
                    y[r, c, i, j] = best
                    if at and y1 <= at[0] <= y2 and x1 <= at[1] <= x2:
                        dx[(int(item), c, *at)] += dy[r, c, i, j]
    return y, dx


def random_rois(rng, count, items, width, height):
    rois = np.empty((count, 5))
    rois[:, 0] = rng.integers(0, items, count)
    rois[:, 1::2] = rng.uniform(-0.2 * width, 1.2 * width, (count, 2)).round(1)
    rois[:, 2::2] = rng.uniform(-0.2 * height, 1.2 * height, (count, 2)).round(1)
    return rois.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("scale", [1, 0.5, 0.0625])
@pytest.mark.parametrize("size", [(3, 4), (7, 7), (1, 1)])
def test_random_regions_malformed_and_outside_ones_too(scale, size):
    rng = np.random.default_rng(1)
    x = rng.integers(-4, 4, (2, 3, 9, 11)).astype(float)  # many ties
    rois = random_rois(rng, 30, 2, 11 / scale, 9 / scale)
    dy = rng.normal(size=(30, 3, *size))
    text = f"roi_pooling_param {{ pooled_h: {size[0]} pooled_w: {size[1]} spatial_scale: {scale} }}"
    run = run_layer("ROIPooling", text, [x, rois], dy=[dy])
    y, dx = by_loops(x, rois, *size, scale, dy)
    np.testing.assert_array_equal(run.y[0], y)
    np.testing.assert_allclose(run.dx[0], dx, atol=1e-12)
    assert run.dx[1] is None


ROIS = [[0, 0, 0, 3, 3], [1, 2, 1, 9, 5], [0, 4, 2, 4, 2]]


@pytest.mark.parametrize("channels", [1, 3])
def test_checks(channels):
    text = "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }"
    rois = [[0, 0, 0, 7, 7], [2, 2, 1, 9, 9], [0, 4, 2, 5, 3]]
    check_layer("ROIPooling", text, [(3, channels, 6, 5), (3, 5)], values={1: rois})


def test_rounding_goes_away_from_zero():
    x = np.arange(5.0).reshape(1, 1, 1, 5)
    text = "roi_pooling_param { pooled_h: 1 pooled_w: 1 spatial_scale: 0.5 }"
    run = run_layer("ROIPooling", text, [x, [[0, 1, 0, 1, 0], [0, 5, 0, 5, 0], [0, 0, 0, 0.9, 0]]])
    np.testing.assert_array_equal(run.y[0].ravel(), [1, 3, 0])  # 0.5 -> 1, 2.5 -> 3, 0.45 -> 0


def test_a_malformed_region_pools_one_pixel_and_passes_no_gradient():
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    text = "roi_pooling_param { pooled_h: 1 pooled_w: 1 }"
    run = run_layer("ROIPooling", text, [x, [[0, 2, 1, 1, 3]]], dy=[1])
    assert run.y[0].item() == 14  # column 2, rows 1 to 3
    assert not run.dx[0].any()


def test_empty_cells_and_what_never_wins():
    x = np.full((1, 1, 3, 3), np.nan)
    x[0, 0, 1, 1] = -np.inf
    text = "roi_pooling_param { pooled_h: 1 pooled_w: 2 }"
    run = run_layer("ROIPooling", text, [x, [[0, 0, 0, 2, 2], [0, 5, 5, 9, 9]]], dy=[1])
    np.testing.assert_array_equal(run.y[0].reshape(2, 2), [[LOWEST, LOWEST], [0, 0]])
    assert not run.dx[0].any()


def test_nan_beside_numbers_loses():
    x = np.array([[[[np.nan, 2, np.nan, 1]]]])
    run = run_layer(
        "ROIPooling", "roi_pooling_param { pooled_h: 1 pooled_w: 1 }", [x, [[0, 0, 0, 3, 0]]], dy=[3]
    )
    assert run.y[0].item() == 2
    np.testing.assert_array_equal(run.dx[0].ravel(), [0, 3, 0, 0])


def test_no_regions():
    run = run_layer(
        "ROIPooling",
        "roi_pooling_param { pooled_h: 2 pooled_w: 2 }",
        [np.ones((1, 2, 4, 4)), np.zeros((0, 5))],
        dy=[1],
    )
    assert run.y[0].shape == (0, 2, 2, 2)
    assert not run.dx[0].any()


@pytest.mark.parametrize(
    "sizes", ["pooled_size: 3", "pooled_size: 3 pooled_size: 3", "pooled_h: 3 pooled_w: 3"]
)
def test_pooled_size_of_intels_fork(sizes):
    x = np.random.default_rng(0).normal(size=(2, 2, 6, 6))
    run = run_layer("ROIPooling", f"roi_pooling_param {{ {sizes} }}", [x, ROIS])
    np.testing.assert_array_equal(run.y[0], by_loops(x, ROIS, 3, 3, 1, np.zeros((3, 2, 3, 3)))[0])


@pytest.mark.parametrize("index", [2, -1])
def test_batch_index_out_of_range(index):
    rois = [[0, 0, 0, 1, 1], [index, 1, 2, 3.5, 4]]
    expected = rf"expected batch indices from 0 to 1 in rois, got \({index}, 1, 2, 3.5, 4\) as roi 1"
    with pytest.raises(DataError, match=expected):
        run_layer(
            "ROIPooling", "roi_pooling_param { pooled_h: 1 pooled_w: 1 }", [np.ones((2, 1, 4, 4)), rois]
        )


def test_corners_must_be_finite():
    with pytest.raises(DataError, match=r"expected finite corners in rois, got \(0, nan, 0, 1, 1\) as roi 0"):
        run_layer(
            "ROIPooling",
            "roi_pooling_param { pooled_h: 1 pooled_w: 1 }",
            [np.ones((1, 1, 2, 2)), [[0, np.nan, 0, 1, 1]]],
        )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "expected pooled_h and pooled_w >= 1, got (0, 0)"),
        ("pooled_h: 2", "expected pooled_h and pooled_w >= 1, got (2, 0)"),
        (
            "pooled_h: 2 pooled_w: 2 pooled_size: 2",
            "expected either pooled_size, or pooled_h and pooled_w, got both",
        ),
        (
            "pooled_size: 1 pooled_size: 2 pooled_size: 3",
            "expected pooled_size once or twice (height, width)",
        ),
        ("pooled_h: 2 pooled_w: 2 spatial_scale: 0", "expected spatial_scale > 0, got 0.0"),
    ],
)
def test_bad_parameters(message, text, part):
    assert part in message("ROIPooling", f"roi_pooling_param {{ {text} }}", [(1, 1, 2, 2), (1, 5)])


@pytest.mark.parametrize(
    "shapes", [[(1, 2, 3), (1, 5)], [(1, 2, 3, 3), (1, 4)], [(1, 2, 3, 3), (1, 5, 2, 1)]]
)
def test_bad_shapes(message, shapes):
    text = message("ROIPooling", "roi_pooling_param { pooled_h: 1 pooled_w: 1 }", shapes)
    assert "expected x (N, C, H, W)" in text or "expected rois (R, 5)" in text
