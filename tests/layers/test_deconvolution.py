"""Deconvolution."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer


def deconv(fields):
    return f"convolution_param {{ {fields} }}"


def test_worked_example():
    x = [[[[1, 2]]]]
    run = run_layer(
        "Deconvolution",
        deconv("num_output: 1 kernel_h: 1 kernel_w: 3 stride: 2"),
        [x],
        params={"W": [[[[1, 10, 100]]]], "b": [0.5]},
    )
    np.testing.assert_array_equal(run.y[0], [[[[1.5, 10.5, 102.5, 20.5, 200.5]]]])  # 100 and 2 meet


def test_is_the_gradient_of_a_convolution():
    rng = np.random.default_rng(1)
    W, x = rng.normal(size=(4, 3, 3, 2)), rng.normal(size=(2, 4, 3, 2))
    fields = "kernel_h: 3 kernel_w: 2 stride: 2 pad: 1 bias_term: false"
    up = run_layer("Deconvolution", deconv(f"num_output: 3 {fields}"), [x], params={"W": W}).y[0]
    conv = run_layer("Convolution", deconv(f"num_output: 4 {fields}"), [up], params={"W": W}, dy=[x])
    np.testing.assert_allclose(conv.dx[0], up)


@pytest.mark.parametrize(
    ("fields", "shape", "top"),
    [
        ("num_output: 2 kernel_size: 4 stride: 2 pad: 1", (2, 3, 3, 2), (2, 2, 6, 4)),
        ("num_output: 3 kernel_size: 3 group: 3 bias_term: false", (2, 3, 3, 2), (2, 3, 5, 4)),
        ("num_output: 4 kernel_size: 2 dilation: 2 group: 2", (1, 2, 3, 2), (1, 4, 5, 4)),
        ("num_output: 2 kernel_size: 3", (2, 3, 4), (2, 2, 6)),
        ("num_output: 2 kernel_size: 1", (2, 3, 4, 3), (2, 2, 4, 3)),
    ],
)
def test_checks(fields, shape, top):
    assert make_layer("Deconvolution", deconv(fields)).infer([shape]) == [top]
    check_layer("Deconvolution", deconv(fields), [shape])


def test_macs():
    layer = make_layer("Deconvolution", deconv("num_output: 4 kernel_size: 2 stride: 2"))
    assert layer.macs([(1, 3, 5, 5)], layer.infer([(1, 3, 5, 5)])) == 75 * 4 * 4


def test_nothing_left(message):
    assert message("Deconvolution", deconv("num_output: 1 kernel_size: 1 pad: 2"), [(1, 3, 4, 4)]) == (
        "layer 'layer' (Deconvolution): expected a kernel that fits the padded 4x4 input, "
        "got kernel 1x1, dilation 1x1, pad 2x2, stride 1x1, which gives an output of 0x0\n"
        "  Fix: use a smaller kernel_size or a larger pad or image"
    )
