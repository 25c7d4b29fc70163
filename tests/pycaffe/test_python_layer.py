"""Layers in Python as pycaffe's scripts use them: arguments, blobs that keep what was written, data layers, processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import caffelite as caffe
from caffelite.errors import UsageError
from caffelite.proto import caffe_pb2

MODULE = '''
import caffe
import numpy as np


class Sum(caffe.Layer):
    """Leaves its gradient in the bottom's diff during forward, as Caffe's own losses do."""

    def setup(self, bottom, top):
        self.seen = [type(self.param_str), self.phase, len(bottom), len(top), len(self.blobs)]

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        bottom[0].diff[...] = 2 * bottom[0].data
        top[0].data[...] = (bottom[0].data ** 2).sum()

    def backward(self, top, propagate_down, bottom):
        self.asked = [bool(p) for p in propagate_down]
        bottom[0].diff[...] *= float(top[0].diff)


class Batches(caffe.Layer):
    def setup(self, bottom, top):
        params = eval(self.param_str)
        self.size, self.count = params["size"], 0

    def reshape(self, bottom, top):
        top[0].reshape(self.size, 2, 3, 3)
        top[1].reshape(self.size)

    def forward(self, bottom, top):
        self.count += 1
        top[0].data[...] = self.count
        top[1].data[...] = np.arange(self.size)

    def backward(self, top, propagate_down, bottom):
        pass


class Memory(caffe.Layer):
    """Counts in its top, which keeps its numbers from pass to pass; shapes in every way that Caffe has."""

    def setup(self, bottom, top):
        top[0].reshape(2, 2)

    def reshape(self, bottom, top):
        assert (bottom[0].num, bottom[0].channels, bottom[0].height, bottom[0].width, bottom[0].count) == (2, 3, 1, 1, 6)
        assert tuple(bottom[0].shape) == bottom[0].data.shape

    def forward(self, bottom, top):
        top[0].data[0, 0] += 1

    def backward(self, top, propagate_down, bottom):
        pass
'''


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "own_layers.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("own_layers", None)


def python(layer: str, bottoms: str, tops: str, more: str = "") -> str:
    ends = "".join(f'bottom: "{b}" ' for b in bottoms.split()) + "".join(f'top: "{t}" ' for t in tops.split())
    return (
        f'layer {{ name: "{layer.lower()}" type: "Python" {ends} '
        f'python_param {{ module: "own_layers" layer: "{layer}" {more} }} loss_weight: LOSS }}\n'
    )


def net(text: str, phase: int = caffe.TRAIN) -> caffe.Net:
    Path("net.prototxt").write_text("force_backward: true\n" + text)
    return caffe.Net("net.prototxt", phase, seed=1)


def given(shape: str) -> str:
    return f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}\n'


CONV = 'layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param { num_output: 4 kernel_size: 2 weight_filler { type: "xavier" } } }\n'


def test_what_forward_leaves_in_the_bottoms_diff() -> None:
    """Between forward and backward it stays; the blob before may be channels-last in memory."""
    a = net(
        given("dim: 2 dim: 3 dim: 4 dim: 4")
        + CONV
        + python("Sum", "conv", "loss").replace("loss_weight: LOSS", "loss_weight: 3")
    )
    a.blobs["x"].data[...] = np.random.default_rng(0).normal(size=(2, 3, 4, 4))
    a.forward()
    a.backward()
    np.testing.assert_allclose(a.blobs["conv"].diff, 6 * a.blobs["conv"].data, rtol=1e-5)
    user = a.layer_dict["sum"]
    assert user.seen == [str, 0, 1, 1, 0] and user.asked == [True]
    assert a.layers[2] is user and user.type == "Python"
    assert float(a.blobs["loss"].data) == pytest.approx(float((a.blobs["conv"].data ** 2).sum()), rel=1e-5)


def test_data_layers_in_python() -> None:
    a = net(
        python("Batches", "", "x y", "param_str: \"{'size': 2}\"").replace("loss_weight: LOSS", "")
        + CONV
        + 'layer { name: "quiet" type: "Silence" bottom: "y" }\n'
    )
    a.forward()
    assert (a.blobs["x"].data == 1).all() and a.blobs["y"].data.tolist() == [0, 1]
    a.layers[0].size = 5  # scripts change what their layers hold
    a.forward()
    assert a.blobs["x"].shape == (5, 2, 3, 3) and a.blobs["conv"].shape == (5, 4, 2, 2)
    a.blobs["x"].reshape(3, 2, 3, 3)  # another batch, and on from there
    a.blobs["x"].data.reshape(-1)[...] = np.arange(54)
    a.forward(start="conv")
    assert a.blobs["conv"].num == 3
    np.testing.assert_array_equal(a.blobs["x"].data.ravel(), np.arange(54))
    a.forward()
    assert (a.blobs["x"].data == 3).all() and a.blobs["conv"].num == 5


def test_tops_keep_their_numbers() -> None:
    a = net(given("dim: 2 dim: 3") + python("Memory", "x", "y").replace("loss_weight: LOSS", ""), caffe.TEST)
    for count in (1, 2, 3):
        assert a.forward()["y"][0, 0] == count


def test_the_base_class() -> None:
    layer = caffe.Layer(caffe_pb2.LayerParameter(name="l"))
    assert layer.layer_param.name == "l" and layer.type == "Python"
    layer.blobs.add_blob(2, 3)
    layer.blobs.add_blob(4)
    assert [tuple(blob.shape) for blob in layer.blobs] == [(2, 3), (4,)] and len(layer.blobs) == 2
    layer.blobs[0].data[...] = 1
    assert not layer.blobs[0].diff.any() and layer.blobs[0].data.dtype == np.float32
    assert repr(layer.blobs[1]) == "<ArrayBlob (4,)>"
    with pytest.raises(UsageError, match="with an asterisk"):
        layer.blobs[0].reshape((3, 2))
    with pytest.raises(AttributeError):
        layer.blobs[0].data = 3
