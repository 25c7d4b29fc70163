"""DepthwiseConvolution and ConvolutionDepthwise: convolutions of each channel by itself."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer

FORM = "kernel_size: 3 stride: 2 pad: 1 dilation: 2"


def depthwise(x, W, stride, pad, dilation):
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    reach = dilation * (W.shape[-1] - 1) + 1
    sizes = [(size - reach) // stride + 1 for size in x.shape[2:]]
    y = np.zeros((*x.shape[:2], *sizes))
    for i, j in np.ndindex(*sizes):
        part = x[:, :, i * stride : i * stride + reach : dilation, j * stride : j * stride + reach : dilation]
        y[:, :, i, j] = (part * W[:, 0]).sum(axis=(2, 3))
    return y


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("DepthwiseConvolution", f"num_output: 4 group: 4 {FORM}"),
        ("ConvolutionDepthwise", f"num_output: 4 {FORM}"),
        ("ConvolutionDepthwise", f"num_output: 4 group: 2 {FORM}"),  # group does not count
        ("ConvolutionDepthwise", FORM),
    ],
)
def test_against_a_loop(type_, text):
    rng = np.random.default_rng(1)
    x, W, b = rng.random((2, 4, 9, 7)), rng.random((4, 1, 3, 3)), rng.random(4)
    run = run_layer(type_, f"convolution_param {{ {text} }}", [x], params={"W": W, "b": b})
    np.testing.assert_allclose(run.y[0], depthwise(x, W, 2, 1, 2) + b.reshape(4, 1, 1))


@pytest.mark.parametrize("type_", ["DepthwiseConvolution", "ConvolutionDepthwise"])
@pytest.mark.parametrize("bias", ["true", "false"])
def test_checks(type_, bias):
    text = f"num_output: 4 group: 4 kernel_size: 3 pad: 1 bias_term: {bias}"
    check_layer(type_, f"convolution_param {{ {text} }}", [(2, 4, 5, 6)])


def test_multiply_adds():
    layer = make_layer("ConvolutionDepthwise", "convolution_param { kernel_size: 3 pad: 1 }")
    tops = layer.infer([(2, 4, 5, 6)])
    assert layer.macs([(2, 4, 5, 6)], tops) == 2 * 4 * 5 * 6 * 9


def test_another_num_output(message):
    assert message("ConvolutionDepthwise", "convolution_param { num_output: 6 kernel_size: 1 }") == (
        "layer 'layer' (ConvolutionDepthwise): expected num_output: 3, the channels of x, got 6\n"
        "  Fix: a Convolution can change them"
    )
