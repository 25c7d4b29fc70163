"""Layers of Caffe's forks through oneDNN."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.cpu import threads
from caffelite.model import Model
from caffelite.plan.kernel import CHANNELS_LAST
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

SHAPES = [(3, 4, 7, 5), (2, 16, 3, 3), (5, 7), (2, 3, 4, 3, 2)]
INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 6 dim: 5 } } }\n'
CONV = 'layer { name: "c" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 3 kernel_size: 3 %s } }\n'
RELU6 = 'layer { name: "r" type: "ReLU6" bottom: "y" top: "y" %s }\n'


@pytest.mark.parametrize("shape", SHAPES)
def test_relu6(agrees, shape):
    agrees("ReLU6", "", shape, low=-3, high=9)


def test_relu6_keeps_nan(run_kernel):
    x = np.array([[[[np.nan, -1, 7, 3]]]])
    y = run_kernel("ReLU6", "", (1, 1, 1, 4), values={0: x}).forward().y[0]
    np.testing.assert_array_equal(y.ravel()[1:], [0, 6, 3])
    assert np.isnan(y.ravel()[0]) or not threads.flushes()


def test_relu6_with_a_slope_is_left_to_the_array_body(objections):
    assert objections("ReLU6", "relu6_param { negative_slope: 0.1 }", (2, 3)) == {"it has no negative slope"}


def steps(text: str, backward: bool) -> Model:
    return Model(parse_net(INPUT + text), Phase.TEST, seed=1, observe=False, backward=backward)


def absorbed(model: Model) -> list[str]:
    return [step.node.name for step in model.executor.plan.steps if step.absorbed_by]


def test_relu6_is_a_part_of_the_layer_before_where_no_gradient_is_wanted():
    text = CONV % 'weight_filler { type: "gaussian" std: 5 }' + RELU6 % ""
    net = steps(text, backward=False)
    if net.nodes[1].layer.type != "Convolution" or not absorbed(net):
        pytest.skip("no oneDNN here")
    assert absorbed(net) == ["r"]
    learned = CONV % "" + RELU6 % "loss_weight: 1"
    assert absorbed(steps(learned, backward=True)) == []
    assert absorbed(steps(CONV % "" + RELU6 % "relu6_param { negative_slope: 0.1 }", backward=False)) == []
    net.input("x")[...] = np.random.default_rng(1).normal(size=(2, 4, 6, 5))
    net.forward()
    apart = Model(parse_net(INPUT + text), Phase.TEST, seed=1, engine="reference")
    apart.input("x")[...] = net.input("x")
    apart.forward()
    np.testing.assert_allclose(net.blob("y"), apart.blob("y"), rtol=1e-4, atol=1e-4)
    assert net.blob("y").max() == 6 and net.blob("y").min() == 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("text", ["scale_bias: true", "use_weight_bias: true", "bias_term: false"])
def test_scaled_batch_norm(agrees, shape, phase, text):
    agrees("BatchNorm", f"batch_norm_param {{ {text} }}", shape, phase=phase)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if len(shape) <= 4])
@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("text", ["", "bn_mode: LEARN", "var_eps: 0.01", "moving_average: true"])
def test_bn(agrees, shape, phase, text):
    agrees("BN", f"bn_param {{ {text} }}", shape, phase=phase)


def test_bn_that_is_left_to_the_array_body(objections):
    for text, why in [
        ("bn_mode: INFERENCE", "it has no statistics"),
        ("across_spatial: false", "its statistics are kept for each place"),
        ("frozen: true", "it is frozen, and its gradient one product"),
    ]:
        assert objections("BN", f"bn_param {{ {text} }}", (2, 3, 4, 5)) == {why}


@pytest.mark.parametrize("type_", ["DepthwiseConvolution", "ConvolutionDepthwise"])
@pytest.mark.parametrize("form", ["pad: 1", "stride: 2", "dilation: 2 bias_term: false"])
def test_depthwise(agrees, type_, form):
    text = f"convolution_param {{ num_output: 16 group: 16 kernel_size: 3 {form} }}"
    agrees(type_, text, (2, 16, 8, 7), layouts=(CHANNELS_LAST,))


@pytest.mark.parametrize("slope", [0, 0.25])
def test_a_convolution_with_a_relu_of_its_own(objections, slope):
    fields = f"relu: true negative_slope: {slope}"
    text = f"convolution_param {{ num_output: 3 kernel_size: 3 {fields} }}"
    assert objections("Convolution", text, (2, 4, 6, 5)) == {"it has no gradient for relu: true"}
    fused, apart = (
        steps(CONV % fields, False),
        Model(parse_net(INPUT + CONV % fields), engine="reference", seed=1),
    )
    rng = np.random.default_rng(1)
    W, x = rng.normal(size=(3, 4, 3, 3)).astype("float32"), rng.normal(size=(2, 4, 6, 5))
    for net in (fused, apart):
        net.params["c"][0].load(W.copy())
        net.input("x")[...] = x
        net.forward()
    np.testing.assert_allclose(fused.blob("y"), apart.blob("y"), rtol=1e-4, atol=1e-4)
    assert (fused.blob("y") < 0).any() == bool(slope)
