"""What scripts do in any order gives the same on both engines: one keeps blobs channels-last, the other in C order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caffelite.model import Model
from caffelite.net import Net
from caffelite.prototxt.source import parse_net

NET = """
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 9 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" relu_param { negative_slope: 0.1 } }
layer { name: "tanh" type: "TanH" bottom: "conv1" top: "tanh" }
layer { name: "scale" type: "Scale" bottom: "tanh" top: "tanh" scale_param { filler { value: 1.5 } bias_term: true } }
layer { name: "left" type: "Convolution" bottom: "conv1" top: "left" convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "sum" type: "Eltwise" bottom: "left" bottom: "tanh" bottom: "conv1" top: "sum" }
layer { name: "pool" type: "Pooling" bottom: "sum" top: "pool" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "cat" type: "Concat" bottom: "sum" bottom: "left" top: "cat" }
layer { name: "quiet" type: "Power" bottom: "cat" top: "cat" power_param { scale: 0.5 } }
layer { name: "deconv" type: "Deconvolution" bottom: "pool" top: "deconv" convolution_param { num_output: 3 kernel_size: 2 stride: 2 weight_filler { type: "msra" } } }
"""


class Script:
    """Does the same to two nets, and compares them."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)
        self.nets = [Net.of(Model(parse_net(NET), engine=engine, seed=2)) for engine in ("cpu", "reference")]
        self.kept: list[tuple[str, list[np.ndarray]]] = []
        for kind, name in (("data", "sum"), ("diff", "left")):
            self.kept.append(
                (f"kept {kind} of {name}", [getattr(net.blobs[name], kind) for net in self.nets])
            )
        self.each(lambda net: net.forward())
        self.layers = list(self.nets[0].layer_dict)
        self.names = list(self.nets[0].blobs)

    def each(self, what: Any) -> None:
        for net in self.nets:
            what(net)

    def write(self) -> None:
        name, kind = str(self.random.choice(self.names)), str(self.random.choice(["data", "diff"]))
        shape = self.nets[0].blobs[name].shape
        values = self.random.normal(size=shape).astype("float32")
        way = int(self.random.integers(3))

        def put(net: Net) -> None:
            array = getattr(net.blobs[name], kind)
            if way == 0:
                array[...] = values
            elif way == 1:
                array.reshape(-1)[...] = values.ravel()
            else:
                array[0].flat = values[0].ravel()

        self.each(put)
        if name == "data":  # gradients are of the images that went through the net last
            self.each(lambda net: net.forward(end="conv1"))

    def write_kept(self) -> None:
        _, arrays = self.kept[int(self.random.integers(2))]
        values = self.random.normal(size=arrays[0].shape)
        for array in arrays:
            array[...] = values

    def ends(self) -> tuple[str | None, str | None]:
        first, last = np.sort(self.random.integers(len(self.layers), size=2))
        whole = self.random.random(2) < 0.3
        return (None if whole[0] else self.layers[first], None if whole[1] else self.layers[last])

    def forward(self) -> None:
        start, end = self.ends()
        self.each(lambda net: net.forward(start=start, end=end))

    def backward(self) -> None:
        end, start = self.ends()
        self.each(lambda net: net.backward(start=start, end=end))

    def look(self) -> None:
        name = str(self.random.choice(self.names))
        self.each(lambda net: (net.blobs[name].data.sum(), net.blobs[name].diff.sum()))

    def compare(self) -> None:
        for name in self.names:
            for kind in ("data", "diff"):
                self.same(f"{kind} of {name}", [getattr(net.blobs[name], kind) for net in self.nets])
        for what, arrays in self.kept:
            self.same(what, arrays)
        for name, blobs in self.nets[0].params.items():
            for mine, other in zip(blobs, self.nets[1].params[name], strict=True):
                self.same(f"diff of param of {name}", [mine.diff, other.diff])

    @staticmethod
    def same(what: str, arrays: list[np.ndarray]) -> None:
        scale = max(1, np.abs(arrays[1]).max())
        np.testing.assert_allclose(arrays[0] / scale, arrays[1] / scale, atol=2e-5, err_msg=what)


@pytest.mark.parametrize("seed", range(10))
def test_any_order(seed: int) -> None:
    script = Script(seed)
    steps = [script.write, script.write, script.write_kept, script.forward, script.backward, script.look]
    done = []
    for _ in range(25):
        step = steps[int(script.random.integers(len(steps)))]
        step()
        done.append(step.__name__)
        if script.random.random() < 0.3:
            script.compare()
    script.compare()
