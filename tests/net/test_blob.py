"""pycaffe's Blob: live, writable, of the shape that Caffe gives it."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.errors import CaffeliteError, UsageError
from caffelite.model import Model
from caffelite.net import Net
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

from .conftest import DATA, INFO, NET

# -- blobs -----------------------------------------------------------------------------------------------------


def test_blobs_are_live_and_writable(net: Net) -> None:
    net.blobs["data"].data[...] = DATA
    net.blobs["info"].data[:, 0] = 3
    net.forward()
    conv = net.blobs["conv"].data
    assert conv.shape == (2, 6, 2, 3) and conv.flags.writeable
    conv[...] = 1  # an image may lie channels-last in memory; its view does not
    net.forward(start="fc")
    want = np.ones((2, 36)) @ net.params["fc"][0].data.T + net.params["fc"][1].data
    np.testing.assert_allclose(net.blobs["fc"].data, want, rtol=1e-5)
    conv[1, 2, 0, 1] = 9
    assert net.blobs["conv"].data[1, 2, 0, 1] == 9


def test_inputs_may_be_written_through_a_reshape(net: Net) -> None:
    """Old scripts do; so inputs lie in C order on every engine."""
    net.blobs["data"].data.reshape(-1)[...] = np.arange(120)
    np.testing.assert_array_equal(net.blobs["data"].data.ravel(), np.arange(120))
    assert net.blobs["data"].data.flags.c_contiguous


def test_params_are_live_and_writable(net: Net) -> None:
    net.forward(data=DATA, info=INFO)
    for name in ("conv", "fc"):
        for blob in net.params[name]:
            blob.data[...] = 0
    np.testing.assert_allclose(net.forward(data=DATA, info=0 * INFO)["prob"], 1 / 3, rtol=1e-6)
    kept = net.params["fc"][1].data
    kept[0] = 10
    assert net.forward(data=DATA, info=0 * INFO)["prob"][0, 0] > 0.99


def test_legacy_names(net: Net) -> None:
    blob = net.blobs["conv"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 6, 2, 3, 72)
    bias = net.params["conv"][1]
    assert (bias.num, bias.channels, bias.height, bias.width) == (6, 1, 1, 1)
    deep = Net.of(
        Model(
            parse_net(
                'layer { name: "i" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 1 dim: 1 dim: 1 } } }'
            )
        )
    )
    with pytest.raises(UsageError, match=r"at most 4 axes; this blob has shape \(1, 1, 1, 1, 1\)"):
        _ = deep.blobs["x"].num


def test_scalars() -> None:
    text = NET + 'layer { name: "loss" type: "EuclideanLoss" bottom: "prob" bottom: "info" top: "loss" }'
    net = Net.of(Model(parse_net(text), Phase.TRAIN, engine="reference"))
    loss = net.forward(data=DATA, info=INFO)["loss"]
    assert loss.shape == () and net.blobs["loss"].shape == () and net.blobs["loss"].count == 1
    assert net.blobs["loss"].diff == 1
    assert float(loss) == net.blobs["loss"].data


# -- reshape ---------------------------------------------------------------------------------------------------


def test_reshape_of_inputs(net: Net) -> None:
    want = net.forward(data=DATA, info=INFO)["prob"].copy()
    net.blobs["data"].reshape(1, 3, 4, 5)
    net.blobs["info"].reshape(1, 3)
    assert net.blobs["data"].shape == (1, 3, 4, 5)
    net.reshape()
    assert net.blobs["prob"].shape == (1, 3)
    got = net.forward(data=DATA[1:], info=INFO[1:])["prob"]
    np.testing.assert_allclose(got, want[1:], rtol=1e-6)
    net.blobs["data"].reshape(2, 3, 4, 5)
    net.blobs["info"].reshape(2, 3)
    np.testing.assert_allclose(net.forward(data=DATA, info=INFO)["prob"], want, rtol=1e-6)


def test_data_written_before_the_net_follows(net: Net) -> None:
    big, info = np.concatenate([DATA] * 4), np.concatenate([INFO] * 4)
    want = net.forward(data=DATA, info=INFO)["prob"].copy()
    net.blobs["data"].reshape(*big.shape)
    net.blobs["data"].data[...] = big
    net.blobs["info"].reshape(*info.shape)
    net.blobs["info"].data[...] = info
    np.testing.assert_allclose(net.forward()["prob"], np.concatenate([want] * 4), rtol=1e-6)
    assert net.blobs["prob"].diff.shape == (8, 3)


def test_a_reshape_that_fails_leaves_the_net(net: Net) -> None:
    want = net.forward(data=DATA, info=INFO)["prob"].copy()
    net.blobs["data"].reshape(2, 3, 9, 9)
    with pytest.raises(CaffeliteError, match="layer 'fc'"):
        net.reshape()
    assert net.blobs["data"].shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(net.forward(data=DATA, info=INFO)["prob"], want)


def test_only_inputs_and_params_of_the_same_shape(net: Net) -> None:
    with pytest.raises(
        UsageError,
        match="blob 'fc' of shape .* is computed by layer 'fc' .* reshape the net's inputs instead",
    ):
        net.blobs["fc"].reshape(1, 3)
    net.params["fc"][0].reshape(3, 36)
    with pytest.raises(UsageError, match=r"shape \(3, 36\) cannot be reshaped to \(36, 3\)"):
        net.params["fc"][0].reshape(36, 3)
