"""Activations, sums and joints through oneDNN."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.cpu import threads
from caffelite.cpu.onednn_library import available
from caffelite.errors import DeviceError
from caffelite.model import Model
from caffelite.plan.kernel import CHANNELS_LAST
from caffelite.prototxt.source import parse_net

SHAPES = [(2, 4, 7, 5), (3, 17, 2, 3), (1, 1, 4, 5), (5, 7), (2, 3, 4, 3, 2)]
LAYERS = [
    ("ReLU", ""),
    ("ReLU", "relu_param { negative_slope: 0.1 }"),
    ("ReLU", "relu_param { negative_slope: -0.1 }"),
    ("Sigmoid", ""),
    ("TanH", ""),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("type_", "text"), LAYERS)
def test_activations(agrees, type_, text, shape):
    agrees(type_, text, shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_sums(agrees, shape):
    agrees("Eltwise", "", shape, shape)
    agrees("Eltwise", "eltwise_param { coeff: 1 coeff: -2 coeff: 0.5 }", shape, shape, shape)


def test_products_and_maxima_are_left_to_the_array_body(objections):
    shape = (2, 3, 4, 5)
    assert objections("Eltwise", "eltwise_param { operation: PROD }", shape, shape) == {"it has no PROD"}
    assert objections("Eltwise", "eltwise_param { operation: MAX }", shape, shape) == {"it has no MAX"}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tops", [1, 2, 3])
def test_splits(agrees, shape, tops):
    agrees("Split", "", shape, tops=tops)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_concat(agrees, shape, axis):
    other = list(shape)
    other[axis] += 3
    agrees("Concat", f"concat_param {{ axis: {axis} }}", shape, tuple(other), shape, layouts=(CHANNELS_LAST,))


BEFORE_RELU = {
    "Convolution": "convolution_param { num_output: 16 kernel_size: 3 weight_filler { type: 'xavier' } }",
    "InnerProduct": "inner_product_param { num_output: 16 weight_filler { type: 'xavier' } }",
    "Scale": "scale_param { bias_term: true }",
    "Eltwise": "bottom: 'x'",
    "Power": "power_param { scale: 2 }",  # no kernel that ReLU could join
}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("type_", BEFORE_RELU)
def test_relu_keeps_nan_and_makes_zeros(type_, precision):
    if available() is not None or not threads.flushes():
        pytest.skip("oneDNN is missing or its threads do not flush denormal numbers")
    text = f"""
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 3 dim: 4 dim: 9 dim: 9 }} }} }}
        layer {{ name: "y" type: "{type_}" bottom: "x" top: "y" {BEFORE_RELU[type_]} }}
        layer {{ name: "relu" type: "ReLU" bottom: "y" top: "z" }}"""
    try:
        net = Model(parse_net(text, "net"), precision=precision, observe=False, backward=False, seed=1)
    except DeviceError as error:
        pytest.skip(str(error))
    x = np.random.default_rng(0).standard_normal((3, 4, 9, 9), np.float32) * 1e30
    x[0] = np.nan
    try:
        for count in (1, 2, 1):  # another number of threads makes the kernels anew, within a pass
            threads.set_threads(count)
            net.blob("x")[...] = x
            net.forward()
            z = net.outputs()["z"]
            assert np.isnan(z[0]).all()
            assert (z[1:] >= 0).all() and 0.2 < (z[1:] == 0).mean() < 0.8
    finally:
        threads.set_threads(None)
