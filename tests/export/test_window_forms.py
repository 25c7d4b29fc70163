"""The ONNX forms of layers that move a window over an image, against the reference engine."""

from __future__ import annotations

import numpy as np
import pytest

X = (2, 3, 5, 4)

# -- convolution ------------------------------------------------------------------------------------------------

CONVOLUTIONS = [
    ("kernel_size: 1", (2, 4, 5, 4)),
    ("kernel_size: 3 pad: 1", (2, 4, 5, 4)),
    ("kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 1", (2, 4, 7, 6)),
    ("kernel_size: 3 dilation: 2 pad: 2", (2, 4, 7, 6)),
    ("kernel_size: 3 dilation: 2 dilation: 1 stride: 2 group: 2", (2, 4, 9, 6)),
    ("kernel_size: 3 group: 4 pad: 1", (2, 4, 5, 4)),
    ("kernel_size: 3 bias_term: false", (2, 4, 5, 4)),
    ("kernel_size: 3 pad: 1 stride: 2", (2, 4, 9)),
    ("kernel_size: 2 kernel_size: 3 kernel_size: 1", (2, 4, 4, 5, 3)),
    ("kernel_size: 3 axis: 2", (2, 3, 4, 5, 5)),
    ("kernel_size: 3 axis: -3 pad: 1", (3, 2, 4, 5, 5)),
    ("axis: 1", (3, 4)),
    ("axis: 2", (3, 2, 4)),
]


@pytest.mark.parametrize(("text", "shape"), CONVOLUTIONS)
@pytest.mark.parametrize("type_", ["Convolution", "Deconvolution"])
def test_convolution(agree, type_, text, shape):
    agree(type_, f"convolution_param {{ num_output: 4 {text} }}", [shape], batch="N", tolerance=5e-6)


def test_convolution_over_the_first_axis(agree):
    agree("Convolution", "convolution_param { num_output: 2 kernel_size: 3 axis: 0 }", [(4, 5, 5)])


def test_convolution_of_several_bottoms_has_one_copy_of_the_weights(agree, tmp_path):
    import onnx

    agree("Convolution", "convolution_param { num_output: 2 kernel_size: 3 }", [X, X], tops=2)
    names = [tensor.name for tensor in onnx.load(tmp_path / "layer.onnx").graph.initializer]
    assert names == ["layer.0", "layer.1"]


# -- pooling ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["MAX", "AVE", "STOCHASTIC"])
@pytest.mark.parametrize("mode", ["CEIL", "FLOOR"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_pooling(agree, method, mode, kernel, stride):
    for pad in range(min(kernel, 3)):
        if pad and method == "STOCHASTIC":
            continue
        for size in ((5, 6), (8, 7)):
            text = f"pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} round_mode: {mode}"
            low = 0.1 if method == "STOCHASTIC" else -1
            agree("Pooling", f"pooling_param {{ {text} }}", [(2, 3, *size)], low=low)


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_pooling_windows_beyond_the_image(agree, method):
    ops = agree("Pooling", f"pooling_param {{ pool: {method} kernel_size: 2 stride: 4 }}", [(1, 1, 4, 7)])
    assert ops["Pad"] == 1


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_pooling_kernel_larger_than_the_padded_image(agree, method):
    agree("Pooling", f"pooling_param {{ pool: {method} kernel_size: 9 pad: 2 stride: 2 }}", [(1, 2, 6, 7)])


@pytest.mark.parametrize(("method", "op"), [("MAX", "GlobalMaxPool"), ("AVE", "GlobalAveragePool")])
def test_global_pooling(agree, method, op):
    text = f"pooling_param {{ pool: {method} global_pooling: true }}"
    assert agree("Pooling", text, [X], batch="N") == {op: 1}


@pytest.mark.parametrize("shape", [(2, 3, 9), (2, 3, 5, 4, 6)])
@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_pooling_over_one_and_three_axes(agree, method, shape):
    agree("Pooling", f"pooling_param {{ pool: {method} kernel_size: 3 stride: 2 pad: 1 }}", [shape])


def test_pooling_without_a_border_is_one_operator(agree):
    text = "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"
    assert agree("Pooling", text, [(1, 1, 5, 5)]) == {"AveragePool": 1}
    assert agree("Pooling", text, [(1, 1, 6, 6)]) == {"AveragePool": 1, "Mul": 1}


@pytest.mark.parametrize("pad", [0, 1])
def test_pooling_mask_and_ties(agree, pad):
    x = np.random.default_rng(1).integers(0, 3, (2, 3, 6, 5))
    text = f"pooling_param {{ kernel_size: 3 stride: 2 pad: {pad} }}"
    agree("Pooling", text, [x.shape], tops=2, values={"x0": x})


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("kernel_size: 3 stride: 2", X),
        ("kernel_size: 2 pad: 1 dilation: 2", X),
        ("kernel_size: 2 axis: 2", X),
    ],
)
def test_im2col(agree, text, shape):
    agree("Im2col", f"convolution_param {{ {text} }}", [shape], batch="N")


@pytest.mark.parametrize("pool", ["MAX", "AVE", "STOCHASTIC"])
@pytest.mark.parametrize(
    ("height", "shape"), [(1, X), (2, X), (3, (2, 3, 8, 8)), (3, (2, 3, 7, 5)), (2, (2, 3, 9))]
)
def test_spp(agree, pool, height, shape):
    text = f"spp_param {{ pyramid_height: {height} pool: {pool} }}"
    agree("SPP", text, [shape], batch="N", low=0.1 if pool == "STOCHASTIC" else -1)
