"""Convolutions and inner products as matrix products: where they are taken, in pieces, with packed weights."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.cuda import patches
from caffelite.model import Model
from caffelite.plan.kernel import CHANNELS_LAST, PLAIN
from caffelite.prototxt.source import parse_net
from caffelite.testing import checks
from caffelite.testing.case import LayerCase, Run, Variant

CONV = "convolution_param { num_output: 6 kernel_size: 3 %s }"
DECONV = "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 %s }"
IP = "inner_product_param { num_output: 3 %s }"


def variant(engine, case, layout):
    (kernel,) = engine.kernels(case.type)
    return Variant(kernel, layout, engine.dtype, engine)


def agrees(engine, case, layout):
    one = variant(engine, case, layout)
    assert one.kernel.refuses(Run(case, Variant(None, layout, engine.dtype, engine)).kernel.site) == ""
    checks.check_same(case, one, Variant(), "against the array body")


def objection(engine, case, layout):
    one = variant(engine, case, layout)
    return one.kernel.refuses(Run(case, Variant(None, layout, engine.dtype, engine)).kernel.site)


@pytest.mark.parametrize(
    "text",
    ["", "pad: 1 stride: 2", "group: 2", "dilation: 2 pad: 2", "bias_term: false", "pad_h: 2 pad_w: 0"],
)
@pytest.mark.parametrize("limit", [1 << 25, 1], ids=["whole", "item by item"])
def test_convolution(engine, monkeypatch, text, limit):
    monkeypatch.setattr(patches, "LIMIT", limit)
    agrees(engine, LayerCase("Convolution", CONV % text, ((3, 4, 7, 6),)), CHANNELS_LAST)


@pytest.mark.parametrize("text", ["", "group: 2", "stride: 2", "pad: 1"])
def test_pointwise(engine, text):
    case = LayerCase(
        "Convolution", f"convolution_param {{ num_output: 6 kernel_size: 1 {text} }}", ((2, 4, 5, 3),)
    )
    agrees(engine, case, CHANNELS_LAST)


def test_bottoms_that_share_weights(engine):
    shapes = ((2, 4, 5, 6),) * 2
    agrees(engine, LayerCase("Convolution", CONV % "", shapes, tops=2), CHANNELS_LAST)


@pytest.mark.parametrize("text", ["", "group: 2", "bias_term: false"])
@pytest.mark.parametrize("limit", [1 << 25, 1], ids=["whole", "item by item"])
def test_deconvolution(engine, monkeypatch, text, limit):
    monkeypatch.setattr(patches, "LIMIT", limit)
    agrees(engine, LayerCase("Deconvolution", DECONV % text, ((3, 2, 4, 5),)), CHANNELS_LAST)


@pytest.mark.parametrize("layout", [PLAIN, CHANNELS_LAST])
@pytest.mark.parametrize("shape", [(5, 7), (4, 3, 2, 5), (6, 3, 1, 1)])
@pytest.mark.parametrize("text", ["", "bias_term: false"])
def test_inner_product(engine, layout, shape, text):
    agrees(engine, LayerCase("InnerProduct", IP % text, (shape,)), layout)


def test_transposed_inner_product(engine):
    agrees(engine, LayerCase("InnerProduct", IP % "transpose: true", ((5, 7),)), PLAIN)
    agrees(engine, LayerCase("InnerProduct", IP % "axis: 2", ((5, 2, 7),)), PLAIN)


@pytest.mark.parametrize(
    ("case", "layout", "words"),
    [
        (LayerCase("Convolution", CONV % "", ((2, 4, 5, 6),)), PLAIN, "a blob in C order"),
        (LayerCase("Convolution", CONV % "", ((2, 4, 5),)), PLAIN, "not 2 spatial axes behind axis 1"),
        (LayerCase("Convolution", CONV % "relu: true", ((2, 4, 5, 6),)), CHANNELS_LAST, "ends with a ReLU"),
        (LayerCase("Deconvolution", DECONV % "", ((2, 4, 5, 6),)), PLAIN, "a blob in C order"),
        (
            LayerCase("InnerProduct", IP % "transpose: true", ((2, 4, 5, 6),)),
            CHANNELS_LAST,
            "transposed weights",
        ),
        (LayerCase("InnerProduct", IP % "axis: 2", ((2, 4, 5, 6),)), CHANNELS_LAST, "another axis than 1"),
    ],
)
def test_refused(engine, case, layout, words):
    assert words in objection(engine, case, layout)


def test_sums_of_many_rows(engine):
    case = LayerCase("InnerProduct", IP % "", ((20000, 2),))
    agrees(engine, case, PLAIN)


NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 3 kernel_size: 3 } }
"""


def test_packed_weights_follow_their_parameter_and_serve_all_nets(engine):
    one = Model(parse_net(NET), engine=engine, seed=1)
    other = Model(parse_net(NET), engine=engine, seed=2, share=one)
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 5)).astype(np.float32)
    for scale in (1, 2, 3):
        one.params["conv"][0].data[...] = scale
        one.params["conv"][0].touch()
        for net in (one, other):
            net.input("x")[...] = x
            net.forward()
        want = (
            sum(x[0, c, i : i + 3, j : j + 3] for c in range(2) for i in range(3) for j in range(3)) * scale
        )
        for net in (one, other):
            np.testing.assert_allclose(net.blob("y")[0, 1], want, rtol=1e-4, atol=1e-4)
    kernels = [net.executor.plan.steps[1].kernel for net in (one, other)]
    assert kernels[0].packs[0] is kernels[1].packs[0]
