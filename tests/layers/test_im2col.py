"""Im2col."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer


def param(fields):
    return f"convolution_param {{ {fields} }}"


def test_worked_example():
    x = np.array([[[[1.0, 2, 3], [4, 5, 6]]]])
    run = run_layer("Im2col", param("kernel_h: 1 kernel_w: 2 pad_h: 0 pad_w: 1"), [x], dy=[[[[[1]], [[10]]]]])
    np.testing.assert_array_equal(run.y[0], [[[[0, 1, 2, 3], [0, 4, 5, 6]], [[1, 2, 3, 0], [4, 5, 6, 0]]]])
    np.testing.assert_array_equal(run.dx[0], [[[[11, 11, 11], [11, 11, 11]]]])


def test_a_convolution_is_a_product_with_its_patches():
    geometry = "kernel_size: 3 kernel_size: 2 stride: 2 stride: 1 pad: 1 dilation: 2"
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(2, 3, 7, 6)), rng.normal(size=(4, 3, 3, 2))
    conv = f"num_output: 4 bias_term: false {geometry}"
    want = run_layer("Convolution", param(conv), [x], params={"W": W}).y[0]
    patches = run_layer("Im2col", param(geometry), [x]).y[0]
    np.testing.assert_allclose(np.einsum("ok,nkhw->nohw", W.reshape(4, -1), patches), want)


@pytest.mark.parametrize(
    ("fields", "shape", "top"),
    [
        ("kernel_size: 3", (2, 3, 6, 5), (2, 27, 4, 3)),
        ("kernel_h: 2 kernel_w: 3 dilation: 2 force_nd_im2col: true", (1, 2, 8, 8), (1, 12, 6, 4)),
        ("kernel_size: 3 stride: 2 pad: 1 group: 2", (2, 2, 5, 4), (2, 18, 3, 2)),
        ("kernel_size: 2 stride: 2", (2, 3, 5), (2, 6, 2)),
        ("kernel_size: 2 kernel_size: 1 kernel_size: 3", (1, 2, 3, 2, 4), (1, 12, 2, 2, 2)),
        ("kernel_size: 2 axis: -2", (2, 3, 2, 4), (2, 3, 4, 3)),
        ("kernel_size: 2 axis: 0 stride: 2 pad: 1", (3, 4, 2), (12, 3, 2)),
    ],
)
def test_checks(fields, shape, top):
    assert make_layer("Im2col", param(fields)).infer([shape]) == [top]
    check_layer("Im2col", param(fields), [shape])


@pytest.mark.parametrize(
    ("fields", "shape", "text"),
    [
        ("", (1, 1, 3, 3), "kernel_size once or once for each of 2 spatial axes, got 0 values"),
        ("kernel_size: 0", (1, 1, 3, 3), "kernel_size >= 1, got 0"),
        ("kernel_size: 1", (2, 3), "at least 1 axis after the channel axis 1, got x=(2, 3)"),
        ("kernel_size: 1 axis: 4", (1, 1, 3, 3), "an axis from -4 to 3 for a bottom with 4 axes, got 4"),
        (
            "kernel_size: 5",
            (1, 1, 3, 3),
            "a kernel that fits the padded 3x3 input, got kernel 5x5, dilation 1x1, pad 0x0, stride 1x1, "
            "which gives an output of -1x-1\n  Fix: use a smaller kernel_size or a larger pad or image",
        ),
    ],
)
def test_bad_parameters(message, fields, shape, text):
    assert message("Im2col", param(fields), [shape]) == f"layer 'layer' (Im2col): expected {text}"
