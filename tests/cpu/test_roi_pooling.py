"""ROIPooling by tables, bit for bit beside the array body."""

import numpy as np
import pytest

from caffelite.model import Model
from caffelite.prototxt.source import parse_net

NET = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}
layer {{ name: "rois" type: "Input" top: "rois" input_param {{ shape {{ dim: {count} dim: 5 }} }} }}
{before}
layer {{ name: "pool" type: "ROIPooling" bottom: "{bottom}" bottom: "rois" top: "y"
  roi_pooling_param {{ pooled_h: {size[0]} pooled_w: {size[1]} spatial_scale: {scale} }} }}
"""
COPY = 'layer { name: "copy" type: "Power" bottom: "x" top: "z" }'  # channels-last, where an Input is not


def passes(engine, x, rois, size, scale, *, copied, backward=True):
    dims = " ".join(f"dim: {n}" for n in x.shape)
    before, bottom = (COPY, "z") if copied else ("", "x")
    text = NET.format(dims=dims, count=len(rois), before=before, bottom=bottom, size=size, scale=scale)
    net = Model(parse_net(text), engine=engine, force_backward=True, backward=backward)
    net.blob("x")[...], net.blob("rois")[...] = x, rois
    net.forward()
    kernel = net.executor.plan.step("pool").kernel.name
    if not backward:
        return kernel, net.blob("y").copy(), None
    y, value = net.blob("y").copy(), net.graph.blobs["y"]
    net.executor.diff(value)[...] = np.random.default_rng(2).normal(size=y.shape)
    net.backward()
    return kernel, y, net.executor.diff(net.graph.blobs["x"]).copy()


def regions(rng, count, items, height, width):
    """Any corners: outside the map, in the wrong order, and on one pixel."""
    rois = np.empty((count, 5), np.float32)
    rois[:, 0] = rng.integers(0, items, count)
    rois[:, 1::2] = rng.uniform(-0.3 * width, 1.3 * width, (count, 2)).round(1)
    rois[:, 2::2] = rng.uniform(-0.3 * height, 1.3 * height, (count, 2)).round(1)
    return rois


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize(
    ("shape", "size", "scale"),
    [((2, 3, 9, 11), (3, 4), 0.5), ((1, 40, 38, 50), (7, 7), 0.0625), ((3, 1, 1, 7), (2, 2), 1), ((1, 2, 70, 3), (1, 1), 1)],
)  # fmt: skip
def test_values_and_gradients_are_those_of_the_array_body(shape, size, scale, copied):
    rng = np.random.default_rng(1)
    x = rng.integers(-3, 3, shape).astype(np.float32) * np.float32(0.7)  # many ties
    x[..., 0] = -0.0
    rois = regions(rng, 60, shape[0], shape[2] / scale, shape[3] / scale)
    name, y, dx = passes("cpu", x, rois, size, scale, copied=copied)
    _, reference_y, reference_dx = passes("reference", x, rois, size, scale, copied=copied)
    assert name == "tables"
    np.testing.assert_array_equal(y, reference_y)
    np.testing.assert_array_equal(dx, reference_dx)
    _, alone, _ = passes("cpu", x, rois, size, scale, copied=copied, backward=False)
    np.testing.assert_array_equal(alone, reference_y)


def test_what_is_no_number_never_wins():
    x = np.full((1, 2, 4, 4), np.nan, np.float32)
    x[0, 0, 1, 1], x[0, 0, 3, 3], x[0, 1, 2, 2] = 5, -np.inf, -7
    rois = np.array([[0, 0, 0, 3, 3]], np.float32)
    _, y, dx = passes("cpu", x, rois, (2, 2), 1, copied=False)
    _, reference_y, reference_dx = passes("reference", x, rois, (2, 2), 1, copied=False)
    np.testing.assert_array_equal(y, reference_y)
    np.testing.assert_array_equal(dx, reference_dx)
    assert y[0, 0, 0, 0] == 5 and np.count_nonzero(dx) == 2


def test_no_regions_at_all():
    text = NET.format(
        dims="dim: 1 dim: 2 dim: 4 dim: 4", count=1, before="", bottom="x", size=(2, 2), scale=1
    )
    net = Model(parse_net(text), force_backward=True)
    net.reshape({"rois": (0, 5)})
    net.forward()
    net.backward()
    assert net.blob("y").shape == (0, 2, 2, 2)
    assert not net.executor.diff(net.graph.blobs["x"]).any()
