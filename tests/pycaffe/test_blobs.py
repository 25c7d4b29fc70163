"""Blobs: reshaping, numbers, what is written into values and gradients."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import caffelite as caffe
from caffelite.errors import UsageError

from .conftest import DATA


def test_blob(net: caffe.Net) -> None:
    blob = net.blobs["conv"]
    assert tuple(blob.shape) == (2, 4, 2, 3) and list(blob.shape) == [2, 4, 2, 3] and len(blob.shape) == 4
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 4, 2, 3, 48)
    assert blob.data.dtype == blob.diff.dtype == np.float32
    blob.data[0, 1, 1, 2] = 5
    assert blob.data[0, 1, 1, 2] == 5


@pytest.mark.parametrize(
    ("dims", "text"),
    [
        (((2, 3),), "expected numbers\n.*with an asterisk"),
        (([2, 3],), "with an asterisk"),
        ((2, 1.5), "expected whole numbers"),
        ((2, "3"), "expected whole numbers"),
        ((2, -1), "sizes of at least 0"),
    ],
)
def test_wrong_shapes(net: caffe.Net, dims: tuple, text: str) -> None:
    for blob in (net.blobs["data"], net.params["fc"][0]):
        with pytest.raises(UsageError, match=text):
            blob.reshape(*dims)


def test_reshape_flows(net: caffe.Net) -> None:
    want = net.forward()["loss"].copy()
    for items in (5, 1, 3, 2):
        data = np.resize(DATA, (items, 3, 4, 5))
        net.blobs["data"].reshape(*data.shape)
        net.blobs["data"].data[...] = data
        net.blobs["label"].reshape(np.int64(items))
        net.blobs["label"].data[...] = np.resize([0, 2], items)
        net.reshape()
        assert net.blobs["fc"].shape == (items, 3) and net.blobs["conv"].num == items
        net.forward()
        net.backward()
        assert net.blobs["data"].diff.shape == data.shape
    np.testing.assert_allclose(net.blobs["loss"].data, want, rtol=1e-5)


def test_reshape_of_an_input_that_is_overwritten_in_place(net: caffe.Net) -> None:
    net.blobs["data"].reshape(2, 3, 7, 6)
    net.forward()
    assert net.blobs["conv"].shape == (2, 4, 5, 4)


def test_reshape_to_the_shape_at_hand(net: caffe.Net) -> None:
    net.blobs["conv"].reshape(2, 4, 2, 3)
    with pytest.raises(
        UsageError, match="'conv' of shape .* computed by layer 'conv' and cannot be reshaped"
    ):
        net.blobs["conv"].reshape(3, 4, 2, 3)


def test_reshape_of_data_layers(tmp_path: Path) -> None:
    """DummyData goes on in the new shape; a layer whose data has a shape gives its tops that one again."""
    power = 'layer { name: "p" type: "Power" bottom: "x" top: "y" power_param { scale: 3 } }'
    dummy = "dummy_data_param { shape { dim: 2 dim: 3 dim: 1 dim: 1 } data_filler { value: 1 } }"
    memory = "memory_data_param { batch_size: 2 channels: 3 height: 1 width: 1 }"
    path = tmp_path / "net.prototxt"
    for type_, tops, message, items in (
        ("DummyData", 'top: "x"', dummy, 4),
        ("MemoryData", 'top: "x" top: "z"', memory, 2),
    ):
        path.write_text(f'layer {{ name: "d" type: "{type_}" {tops} {message} }} {power}')
        net = caffe.Net(str(path), caffe.TEST)
        if type_ == "MemoryData":
            net.set_input_arrays(np.ones((2, 3, 1, 1), np.float32), np.ones(2, np.float32))
        net.blobs["x"].reshape(4, 3, 1, 1)
        net.blobs["x"].data[...] = 5
        assert net.forward(start="p")["y"].ravel().tolist() == [15] * 12
        assert net.forward()["y"].ravel().tolist() == [3] * 3 * items


def test_arrays_of_one_element_are_numbers(file: str) -> None:
    """As they were before NumPy 2.4, whatever their axes."""
    net = caffe.Net(file, caffe.TEST)
    net.blobs["label"].reshape(1)
    one = net.blobs["label"].data
    one[...] = 2.5
    assert (float(one), int(one), "%.2f" % one) == (2.5, 2, "2.50")  # noqa: UP031
    losses = np.zeros(3)
    losses[1] = one
    assert losses.tolist() == [0, 2.5, 0]
    assert repr(one) == "array([2.5], dtype=float32)"
    assert type(pickle.loads(pickle.dumps(one))) is np.ndarray
    assert isinstance(one, np.ndarray) and (one + one).tolist() == [5]
    one += 1
    assert net.blobs["label"].data[0] == 3.5


def test_what_is_written_into_diffs_stays(net: caffe.Net) -> None:
    """Looking at other diffs, which allocates them, clears nothing."""
    net.forward()
    net.blobs["loss"].diff[...] = 5
    net.blobs["label"].diff[...] = 3  # no gradient goes there
    _ = net.blobs["data"].diff, net.blobs["conv"].diff
    assert net.blobs["loss"].diff == 5 and (net.blobs["label"].diff == 3).all()
    assert net._forward(0, 6) == pytest.approx(5 * float(net.blobs["loss"].data))
    net.backward()
    five = net.params["fc"][0].diff.copy()
    net.clear_param_diffs()
    net.blobs["loss"].diff[...] = 1
    net.backward()
    np.testing.assert_allclose(five, 5 * net.params["fc"][0].diff, rtol=1e-5)


def test_one_hot_gradients(net: caffe.Net) -> None:
    net.forward()
    net.blobs["fc"].diff[...] = 0
    net.blobs["fc"].diff[0][1] = 1
    found = net.backward(diffs=["pool"], start="fc")
    assert set(found) == {"data", "label", "pool"}
    np.testing.assert_allclose(found["pool"][0].ravel(), net.params["fc"][0].data[1], rtol=1e-6)
    assert not found["pool"][1].any()


def test_blobs_behind_the_end_keep_what_they_had(net: caffe.Net) -> None:
    net.forward()
    fc, loss = net.blobs["fc"].data.copy(), net.blobs["loss"].data.copy()
    net.blobs["data"].data[...] = 0
    net.forward(end="conv")
    np.testing.assert_array_equal(net.blobs["fc"].data, fc)
    assert net.blobs["loss"].data == loss


@pytest.mark.parametrize("name", ["data", "diff"])
def test_arrays_of_blobs_cannot_be_replaced(net: caffe.Net, name: str) -> None:
    for blob in (net.blobs["fc"], net.params["fc"][0]):
        with pytest.raises(
            AttributeError, match=rf"blob\.{name} is .*\n  Fix: blob\.{name}\[\.\.\.\] = x writes into"
        ):
            setattr(blob, name, np.zeros(blob.shape))
