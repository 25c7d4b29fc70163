"""Blobs are seen in C order: what is written reaches the net, what the net computes reaches views that are alive."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from caffelite.model import Model
from caffelite.net import Net
from caffelite.prototxt.source import parse_net

from .conftest import DATA, INFO

TWICE = """
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 6 kernel_size: 3 } }
layer { name: "twice" type: "Power" bottom: "conv" top: "twice" power_param { scale: 2 } }
layer { name: "thrice" type: "Power" bottom: "conv" top: "thrice" power_param { scale: 3 } }
"""


def numbers(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype="float32").reshape(shape)


@pytest.fixture
def twice(engine: str) -> Net:
    return Net.of(Model(parse_net(TWICE), engine=engine, seed=1))


def test_c_order(net: Net) -> None:
    net.forward(data=DATA, info=INFO)
    for name in net.blobs:
        for array in (net.blobs[name].data, net.blobs[name].diff):
            assert array.flags.c_contiguous and array.flags.writeable


def test_writing_through_reshape_ravel_and_flat(net: Net) -> None:
    net.forward(data=DATA, info=INFO)
    writers = [
        lambda a, v: a.reshape(-1).__setitem__(slice(None), v.ravel()),
        lambda a, v: a.ravel().__setitem__(slice(None), v.ravel()),
        lambda a, v: setattr(a, "flat", v),
        lambda a, v: [a[i].reshape(6, -1).__setitem__(slice(None), v[i].reshape(6, -1)) for i in range(2)],
    ]
    for factor, write in enumerate(writers, 1):
        values = factor * numbers(2, 6, 2, 3)
        write(net.blobs["conv"].data, values)
        net.forward(start="fc")
        W, b = (blob.data for blob in net.params["fc"])
        np.testing.assert_allclose(net.blobs["fc"].data, values.reshape(2, -1) @ W.T + b, rtol=1e-4)
        np.testing.assert_array_equal(net.blobs["conv"].data, values)


def test_gradients_are_written_the_same_way(net: Net) -> None:
    net.forward(data=DATA, info=INFO)
    net.blobs["conv"].data[...] = 1  # all of ReLU's gradient passes
    net.blobs["conv"].diff[0].reshape(6, -1)[:] = numbers(6, 6)
    net.blobs["conv"].diff[1] = 0
    net.backward(start="relu")
    np.testing.assert_allclose(net.params["conv"][1].diff, numbers(6, 6).sum(1), rtol=1e-6)


def test_views_that_are_kept_follow_the_net(net: Net) -> None:
    net.forward(data=DATA, info=INFO)
    kept = net.blobs["conv"].data
    part = net.blobs["conv"].data[1].reshape(6, -1)
    first = kept.copy()
    net.forward(data=2 * DATA, info=INFO)
    assert not np.array_equal(kept, first)
    np.testing.assert_array_equal(part, kept[1].reshape(6, -1))
    kept[...] = 5
    assert (net.blobs["conv"].data == 5).all() and (part == 5).all()
    net.forward(start="fc")
    assert (kept == 5).all()


def test_what_was_written_stays_without_a_view(net: Net) -> None:
    """Also over passes that do not touch the blob, and while other blobs are looked at."""
    net.forward(data=DATA, info=INFO)
    net.blobs["conv"].data[...] = 7
    gc.collect()
    assert (net.blobs["conv"].data == 7).all()
    net.forward(start="prob")
    assert (net.blobs["conv"].data == 7).all()
    assert (net.model.blob("conv") == 7).all()


def test_whole_passes_compute_all_anew(net: Net) -> None:
    want = net.forward(data=DATA, info=INFO)["prob"].copy()
    conv = net.blobs["conv"].data.copy()
    net.blobs["conv"].data[...] = 7
    np.testing.assert_array_equal(net.forward()["prob"], want)
    np.testing.assert_array_equal(net.blobs["conv"].data, conv)


def test_blobs_of_one_memory_are_one(twice: Net) -> None:
    """A Split's tops are its bottom; a view of one must not write old values over the other's."""
    twice.forward()
    split = [name for name in twice.blobs if "split" in name]
    before = [twice.blobs[name].data for name in split]
    twice.blobs["conv"].data[...] = numbers(2, 6, 2, 3)
    twice.forward(start="twice")
    np.testing.assert_array_equal(twice.blobs["twice"].data, 2 * numbers(2, 6, 2, 3))
    np.testing.assert_array_equal(twice.blobs["thrice"].data, 3 * numbers(2, 6, 2, 3))
    assert all(np.array_equal(view, numbers(2, 6, 2, 3)) for view in before)


def test_another_shape_has_another_view(twice: Net) -> None:
    twice.forward()
    old = twice.blobs["conv"].data
    twice.blobs["data"].reshape(3, 3, 6, 7)
    twice.blobs["data"].data[...] = 1
    twice.forward()
    assert old.shape == (2, 6, 2, 3)
    new = twice.blobs["conv"].data
    assert new.shape == (3, 6, 4, 5)
    new[...] = 4
    twice.forward(start="twice")
    assert (twice.blobs["twice"].data == 8).all()
    twice.blobs["data"].reshape(1, 3, 3, 3)  # and smaller
    twice.blobs["data"].data[...] = 2
    np.testing.assert_array_equal(twice.forward()["twice"], 2 * twice.blobs["conv"].data)


def test_flatten_runs_to_see_what_was_written(engine: str) -> None:
    """Caffe's Flatten and Reshape share their bottom's memory; here they may have to run, so start there."""
    flat = 'layer { name: "flat" type: "Flatten" bottom: "twice" top: "flat" }'
    net = Net.of(Model(parse_net(TWICE + flat), engine=engine, seed=1))
    net.forward()
    net.blobs["twice"].data[...] = numbers(2, 6, 2, 3)
    assert net.forward(start="flat")["flat"].ravel().tolist() == list(range(72))
    net.blobs["flat"].diff[...] = numbers(2, 36)
    net.backward(start="flat")
    np.testing.assert_array_equal(net.blobs["twice"].diff.ravel(), range(72))


def test_hooks_see_and_write(net: Net) -> None:
    seen: list[float] = []
    net.before_forward(lambda layer: seen.append(float(net.blobs["conv"].data.sum())) if layer == 2 else None)
    kept = net.blobs["conv"].data

    def negate(layer: int) -> None:
        if layer == 1:
            kept[...] = -3

    net.after_forward(negate)
    net.forward(data=DATA, info=INFO)
    assert seen == [-3 * 72]
    assert (net.blobs["conv"].data == 0).all()  # after the ReLU


def test_a_failing_pass_leaves_views_right(net: Net) -> None:
    net.forward(data=DATA, info=INFO)
    kept = net.blobs["conv"].data

    def fail(layer: int) -> None:
        if layer == 2:
            raise KeyError("stop")

    net.before_forward(fail)
    with pytest.raises(KeyError):
        net.forward(data=0 * DATA, info=INFO)
    np.testing.assert_array_equal(
        kept, np.broadcast_to(net.params["conv"][1].data[:, None, None], kept.shape)
    )


def test_nobody_looks_nothing_is_copied(net: Net) -> None:
    net.forward(data=DATA, info=INFO)
    net.forward(data=DATA, info=INFO)
    assert not net.model.mirrors._by_buffer
