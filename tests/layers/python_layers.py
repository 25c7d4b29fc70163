"""Python layers of users, and prototxts and nets with them."""

from __future__ import annotations

import numpy as np

from caffelite.model import Model
from caffelite.prototxt.source import parse_net

MODULE = '''
import caffe
import numpy as np


class Double(caffe.Layer):
    def setup(self, bottom, top):
        self.calls = ["setup"]

    def reshape(self, bottom, top):
        self.calls.append("reshape")
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        assert propagate_down == [True], propagate_down
        bottom[0].diff[...] = 2 * top[0].diff


class Linear(caffe.Layer):
    """y = w x with a parameter of its own; param_str is how w starts."""

    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = float(self.param_str)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data[0] * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] += (top[0].diff * bottom[0].data).sum()
        if propagate_down[0]:
            bottom[0].diff[...] = self.blobs[0].data[0] * top[0].diff


class Euclidean(caffe.Layer):
    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("need two inputs")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise Exception("inputs must have the same dimension")
        self.diff = np.zeros_like(bottom[0].data, dtype=np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.diff**2) / bottom[0].num / 2.0

    def backward(self, top, propagate_down, bottom):
        for i, sign in ((0, 1), (1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * self.diff / bottom[i].num


class Source(caffe.Layer):
    """A data layer that gives one more item each time, shaped in forward."""

    def setup(self, bottom, top):
        self.number = 0
        top[0].reshape(1, 3)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        self.number += 1
        top[0].reshape(self.number, 3)
        top[0].data[...] = self.number

    def backward(self, top, propagate_down, bottom):
        pass


class InPlace(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        top[0].data[...] *= 3

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] *= 3


class Seen(caffe.Layer):
    def setup(self, bottom, top):
        self.seen = (self.param_str, self.param_str_, self.phase, str(self.phase))

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        raise ValueError(42)


class NoForward(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        pass


class Forwards(NoForward):
    def forward(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
        top[0].data[...] = bottom[0].data


class NoLayer:
    pass


class Late(Forwards):
    """A blob that the first reshape adds."""

    def reshape(self, bottom, top):
        if not self.blobs:
            self.blobs.add_blob(2)
            self.blobs[0].data[...] = 7


class Counter(Forwards):
    """Adds 1 to its blob in each forward pass."""

    def setup(self, bottom, top):
        self.blobs.add_blob(3, 2, 1, 1)

    def forward(self, bottom, top):
        super().forward(bottom, top)
        self.blobs[0].data[...] += 1


class Moody(Forwards):
    """Fails where its class says, and has a top of the size that it says."""

    fails, size = "", 0

    def __init__(self, param):
        self.mind("__init__")

    def mind(self, what):
        if Moody.fails == what:
            raise RuntimeError(what)

    def reshape(self, bottom, top):
        self.mind("reshape")
        top[0].reshape(Moody.size or len(bottom[0].data), *bottom[0].shape[1:])

    def forward(self, bottom, top):
        self.mind("forward")
        top[0].data[...] = Moody.size

    def backward(self, top, propagate_down, bottom):
        self.mind("backward")
        bottom[0].diff[...] = 5
'''


def python(
    layer: str, bottoms: str = "x", tops: str = "y", extra: str = "", module: str = "my_layers"
) -> str:
    names = "".join(f'bottom: "{b}" ' for b in bottoms.split()) + "".join(
        f'top: "{t}" ' for t in tops.split()
    )
    return (
        f'layer {{ name: "{layer.lower()}" type: "Python" {names}'
        f'python_param {{ module: "{module}" layer: "{layer}" {extra} }} }}\n'
    )


def blob(name: str = "x", shape: str = "dim: 4 dim: 2 dim: 3 dim: 3") -> str:
    return (
        f'layer {{ name: "in_{name}" type: "Input" top: "{name}" input_param {{ shape {{ {shape} }} }} }}\n'
    )


CONV = 'layer { name: "conv" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "msra" } } }\n'
SUM = 'layer { name: "sum" type: "Reduction" bottom: "y" top: "sum" loss_weight: 1 }\n'


def net(text: str, engine: str = "cpu", phase: int = 0) -> Model:
    model = Model(parse_net(text), phase, engine=engine, seed=1, force_backward=True)
    for name in model.graph.inputs:
        model.blob(name)[...] = np.random.default_rng(5).standard_normal(model.blob(name).shape)
    return model
