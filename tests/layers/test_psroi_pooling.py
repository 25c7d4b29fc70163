"""PSROIPooling, against loops over single elements."""

import math

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.testing import check_layer, run_layer

F = np.float32


def c_round(value):
    return F(math.copysign(math.floor(abs(value) + 0.5), value))


def edges(start, end, cells, limit):
    size = F(max(end - start, F(0.1))) / F(cells)
    at = [float(F(float(size) * p + float(start))) for p in range(cells + 1)]
    for first, after in zip(at, at[1:], strict=False):
        yield range(min(max(math.floor(first), 0), limit), min(max(math.ceil(after), 0), limit))


def by_loops(x, rois, dim, group, scale, dy):
    y, dx = np.zeros((len(rois), dim, group, group)), np.zeros(x.shape)
    for r, (item, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (c_round(corner) for corner in corners)
        rows = list(edges(y1 * F(scale), (y2 + 1) * F(scale), group, x.shape[2]))
        cols = list(edges(x1 * F(scale), (x2 + 1) * F(scale), group, x.shape[3]))
        for d, i, j in np.ndindex(dim, group, group):
            channel = (d * group + i) * group + j
            area = len(rows[i]) * len(cols[j])
            for h in rows[i]:
                for w in cols[j]:
                    y[r, d, i, j] += x[int(item), channel, h, w] / area
                    dx[int(item), channel, h, w] += dy[r, d, i, j] / area
    return y, dx


@pytest.mark.parametrize("scale", [1, 0.0625])
@pytest.mark.parametrize(("dim", "group"), [(2, 3), (1, 7), (3, 1)])
def test_random_regions_malformed_and_outside_ones_too(scale, dim, group):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, dim * group * group, 8, 10))
    rois = rng.uniform(-3 / scale, 12 / scale, (25, 5)).round(1).astype(F)
    rois[:, 0] = rng.integers(0, 2, 25)
    dy = rng.normal(size=(25, dim, group, group))
    text = f"psroi_pooling_param {{ spatial_scale: {scale} output_dim: {dim} group_size: {group} }}"
    run = run_layer("PSROIPooling", text, [x, rois], dy=[dy])
    y, dx = by_loops(x, rois, dim, group, scale, dy)
    np.testing.assert_allclose(run.y[0], y, atol=1e-12)
    np.testing.assert_allclose(run.dx[0], dx, atol=1e-12)
    assert run.dx[1] is None


TEXT = "psroi_pooling_param { spatial_scale: 0.5 output_dim: 2 group_size: 2 }"


def test_checks():
    check_layer("PSROIPooling", TEXT, [(2, 8, 5, 4), (2, 5)], values={1: [[0, 0, 0, 6, 5], [1, 3, 2, 4, 9]]})


def test_no_regions_and_empty_cells():
    run = run_layer("PSROIPooling", TEXT, [np.ones((1, 8, 3, 3)), np.zeros((0, 5))], dy=[1])
    assert run.y[0].shape == (0, 2, 2, 2)
    assert not run.dx[0].any()
    x = np.random.default_rng(0).normal(size=(1, 8, 3, 3))
    run = run_layer("PSROIPooling", TEXT, [x, [[0, 40, 40, 50, 50]]], dy=[1])
    assert not run.y[0].any()
    assert not run.dx[0].any()


def test_what_is_not_finite_stays_in_its_cells():
    x = np.ones((1, 8, 4, 4))
    x[0, :, 0, 0] = np.inf
    run = run_layer("PSROIPooling", TEXT, [x, [[0, 0, 0, 7, 7]]])
    np.testing.assert_array_equal(run.y[0][0, 0], [[np.nan, 1], [1, 1]])


def test_batch_index_out_of_range():
    with pytest.raises(DataError, match=r"batch indices from 0 to 0 in rois, got \(1, 0, 0, 2, 2\) as roi 0"):
        run_layer("PSROIPooling", TEXT, [np.ones((1, 8, 3, 3)), [[1, 0, 0, 2, 2]]])


def test_channels_must_fit(message):
    text = message("PSROIPooling", TEXT, [(1, 9, 3, 3), (1, 5)])
    assert "expected x with output_dim * group_size^2 = 8 channels, got x=(1, 9, 3, 3)" in text


@pytest.mark.parametrize("field", ["spatial_scale", "output_dim", "group_size"])
def test_parameters_must_be_positive(message, field):
    values = {"spatial_scale": 1, "output_dim": 2, "group_size": 2} | {field: 0}
    fields = " ".join(f"{name}: {value}" for name, value in values.items())
    text = message("PSROIPooling", f"psroi_pooling_param {{ {fields} }}", [(1, 8, 3, 3), (1, 5)])
    assert f"expected {field} > 0, got 0" in text
