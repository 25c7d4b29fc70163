"""The ONNX form of each layer against the reference engine, over the layer's parameters."""

from __future__ import annotations

import numpy as np
import pytest

X = (2, 3, 5, 4)


@pytest.mark.parametrize(
    ("type_", "text", "low", "high"),
    [
        ("ReLU", "", -1, 1),
        ("ReLU", "relu_param { negative_slope: 0.1 }", -1, 1),
        ("ReLU", "relu_param { negative_slope: -0.1 }", -1, 1),
        ("ELU", "", -3, 1),
        ("ELU", "elu_param { alpha: 0.5 }", -3, 1),
        ("Sigmoid", "", -20, 20),
        ("TanH", "", -5, 5),
        ("AbsVal", "", -1, 1),
        ("BNLL", "", -90, 90),
        ("Power", "", -1, 1),
        ("Power", "power_param { power: 0 }", -1, 1),
        ("Power", "power_param { power: 2 scale: -0.5 shift: 1 }", -1, 1),
        ("Power", "power_param { power: 0.5 shift: 0.1 }", 0, 1),
        ("Power", "power_param { scale: 0.00390625 }", 0, 255),
        ("Exp", "", -1, 1),
        ("Exp", "exp_param { base: 2 scale: -0.5 shift: 1 }", -1, 1),
        ("Log", "", 0.1, 2),
        ("Log", "log_param { base: 10 scale: 2 shift: 1 }", 0, 2),
        ("Clip", "clip_param { min: -0.2 max: 0.5 }", -1, 1),
        ("Swish", "", -5, 5),
        ("Swish", "swish_param { beta: -0.7 }", -5, 5),
        ("Threshold", "threshold_param { threshold: 0.25 }", -1, 1),
        ("Dropout", "", -1, 1),
        ("PReLU", "", -1, 1),
        ("PReLU", "prelu_param { channel_shared: true }", -1, 1),
        ("Softmax", "", -9, 9),
        ("Softmax", "softmax_param { axis: -1 }", -9, 9),
        ("Softmax", "softmax_param { axis: 0 }", -9, 9),
        ("MVN", "", -1, 1),
        ("MVN", "mvn_param { across_channels: true eps: 0.1 }", -1, 1),
        ("MVN", "mvn_param { normalize_variance: false }", -1, 1),
        ("BatchNorm", "", -1, 1),
        ("BatchNorm", "batch_norm_param { use_global_stats: false eps: 0.01 }", -1, 1),
        ("LRN", "", -1, 1),
        ("LRN", "lrn_param { local_size: 3 alpha: 2 beta: 0.5 k: 2 }", -1, 1),
        ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 alpha: 2 k: 7 }", -1, 1),
        ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 7 }", -1, 1),
    ],
)
@pytest.mark.parametrize("batch", [None, "N"])
def test_one_to_one(agree, type_, text, low, high, batch):
    if batch and "axis: 0" in text:
        batch = None
    agree(type_, text, [X], low=low, high=high, batch=batch)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 6), (2, 3, 2, 3, 2)])
@pytest.mark.parametrize("type_", ["PReLU", "BatchNorm", "MVN", "Scale", "Bias", "Softmax"])
def test_other_numbers_of_axes(agree, type_, shape):
    agree(type_, "", [shape], batch="N")


# -- products, arithmetic ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [1, 2, 3, -1, -2])
@pytest.mark.parametrize("transpose", ["true", "false"])
@pytest.mark.parametrize("bias", ["true", "false"])
def test_inner_product(agree, axis, transpose, bias):
    text = f"num_output: 6 axis: {axis} transpose: {transpose} bias_term: {bias}"
    agree("InnerProduct", f"inner_product_param {{ {text} }}", [X], batch="N", tolerance=5e-6)


def test_inner_product_of_all(agree):
    agree("InnerProduct", "inner_product_param { num_output: 6 axis: 0 }", [X])


@pytest.mark.parametrize("bias", ["true", "false"])
def test_embed(agree, bias):
    x = np.random.default_rng(1).integers(0, 7, (3, 4)) + 0.5  # cut to whole numbers
    text = f"embed_param {{ num_output: 5 input_dim: 7 bias_term: {bias} }}"
    agree("Embed", text, [x.shape], values={"x0": x})


@pytest.mark.parametrize(
    "text", ["", "axis: 0", "axis: 2 num_axes: 2", "axis: -1", "num_axes: -1", "num_axes: 0"]
)
def test_scale_and_bias(agree, text):
    batch = None if "axis: 0" in text else "N"
    agree("Scale", f"scale_param {{ {text} }}", [X], batch=batch)
    agree("Scale", f"scale_param {{ {text} bias_term: true }}", [X], batch=batch)
    agree("Bias", f"bias_param {{ {text} }}", [X], batch=batch)


@pytest.mark.parametrize(
    ("axis", "shape"), [(0, X), (0, (2, 3)), (1, (3,)), (1, (3, 5)), (2, (5, 4)), (-1, (4,)), (0, ())]
)
def test_scale_and_bias_by_a_bottom(agree, axis, shape):
    agree("Scale", f"scale_param {{ axis: {axis} bias_term: true }}", [X, shape])
    agree("Bias", f"bias_param {{ axis: {axis} }}", [X, shape])


@pytest.mark.parametrize("bottoms", [2, 3])
@pytest.mark.parametrize("operation", ["SUM", "PROD", "MAX"])
def test_eltwise(agree, operation, bottoms):
    agree("Eltwise", f"eltwise_param {{ operation: {operation} }}", [X] * bottoms, batch="N")


def test_eltwise_with_coefficients(agree):
    agree("Eltwise", "eltwise_param { coeff: 1 coeff: -1 coeff: 0.5 }", [X] * 3)


@pytest.mark.parametrize("operation", ["SUM", "ASUM", "SUMSQ", "MEAN"])
@pytest.mark.parametrize("axis", [0, 1, 3, -2])
@pytest.mark.parametrize("opset", [17, 18])
def test_reduction(agree, operation, axis, opset):
    text = f"reduction_param {{ operation: {operation} axis: {axis} coeff: 2.5 }}"
    agree("Reduction", text, [X], batch="N" if axis else None, opset=opset)


# -- arrangement ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "batch"),
    [
        ("shape { dim: 0 dim: -1 }", "N"),
        ("shape { dim: -1 dim: 4 }", "N"),
        ("shape { dim: 0 dim: 5 dim: 4 dim: 3 }", "N"),
        ("axis: 1 num_axes: 2 shape { dim: 15 }", "N"),
        ("axis: 2 num_axes: 0 shape { dim: 1 dim: 1 }", "N"),
        ("axis: 0 num_axes: 0 shape { dim: 1 }", "N"),
        ("axis: -1 shape { dim: 1 }", "N"),
        ("axis: -2 num_axes: 1 shape { dim: 2 dim: -1 }", "N"),
        ("shape { dim: 120 }", None),
        ("shape { dim: 2 dim: 60 }", None),
        ("shape { }", None),
    ],
)
def test_reshape(agree, text, batch):
    shape = (1, 1, 1) if text == "shape { }" else X
    agree("Reshape", f"reshape_param {{ {text} }}", [shape], batch=batch)


@pytest.mark.parametrize(
    "text",
    ["", "axis: 0", "axis: 2", "end_axis: 2", "axis: -1", "axis: 0 end_axis: 1", "axis: 2 end_axis: 1"],
)
def test_flatten(agree, text):
    agree("Flatten", f"flatten_param {{ {text} }}", [X], batch="N")


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("bottoms", [1, 3])
def test_concat(agree, axis, bottoms):
    agree("Concat", f"concat_param {{ axis: {axis} }}", [X] * bottoms, batch="N")


@pytest.mark.parametrize(
    ("text", "tops"), [("", 3), ("axis: 2 slice_point: 1 slice_point: 3", 3), ("axis: -1", 2), ("", 1)]
)
def test_slice(agree, text, tops):
    agree("Slice", f"slice_param {{ {text} }}", [X], tops=tops, batch="N")


def test_slice_of_items(agree):
    agree("Slice", "slice_param { axis: 0 }", [X], tops=2)


@pytest.mark.parametrize(
    ("text", "like"),
    [
        ("offset: 1", (2, 3, 3, 2)),
        ("axis: 1 offset: 0 offset: 2 offset: 1", (2, 2, 3, 3)),
        ("axis: -1", (9, 9, 9, 2)),
        ("", (1, 1, 5, 4)),
    ],
)
def test_crop(agree, text, like):
    agree("Crop", f"crop_param {{ {text} }}", [X, like])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_tile(agree, axis):
    agree("Tile", f"tile_param {{ axis: {axis} tiles: 3 }}", [X], batch="N")


@pytest.mark.parametrize("text", ["", "axis: 1", "axis: -1", "top_k: 3", "top_k: 2 axis: 2", "axis: 0"])
@pytest.mark.parametrize("values", ["true", "false"])
def test_arg_max_and_ties(agree, text, values):
    x = np.random.default_rng(2).integers(0, 4, X)
    agree("ArgMax", f"argmax_param {{ {text} out_max_val: {values} }}", [X], values={"x0": x})


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 2, 1, 2)])
def test_arg_max_of_other_numbers_of_axes(agree, shape):
    agree("ArgMax", "argmax_param { top_k: 2 }", [shape], batch="N")


def test_split_and_silence_write_nothing(agree):
    assert agree("Split", "", [X], tops=2) == {"Identity": 2}


# -- layers of forks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "text", "shapes"),
    [
        ("ReLU6", "", [X]),
        ("ReLU6", "relu6_param { negative_slope: 0.1 }", [X]),
        ("Dropout", "dropout_param { dropout_ratio: 0.25 scale_train: false }", [X]),
        ("SpatialDropout", "", [X]),
        ("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }", [X]),
        ("Permute", "permute_param { order: 0 order: 3 }", [X]),
        ("Permute", "permute_param { order: 2 order: 0 }", [X]),
        ("ShuffleChannel", "shuffle_channel_param { group: 3 }", [(2, 6, 5, 4)]),
        ("ShuffleChannel", "shuffle_channel_param { group: 2 }", [(2, 6)]),
        ("Axpy", "", [(2, 3), X, X]),
        ("Axpy", "", [(2, 3, 1, 1), X, X]),
        ("Normalize", "norm_param { across_spatial: false channel_shared: false }", [X]),
        ("Normalize", "norm_param { eps: 0.5 }", [X]),
        ("Normalize", "norm_param { channel_shared: false }", [(2, 3)]),
        ("Reorg", "reorg_param { stride: 2 }", [(2, 8, 4, 6)]),
        ("Reorg", "reorg_param { stride: 2 reverse: true }", [(2, 8, 4, 6)]),
        ("Interp", "interp_param { height: 7 width: 3 }", [X]),
        ("Interp", "interp_param { zoom_factor: 3 }", [X]),
        ("Interp", "interp_param { shrink_factor: 2 pad_beg: -1 }", [(2, 3, 9, 8)]),
        ("Interp", "interp_param { zoom_factor: 4 shrink_factor: 2 pad_end: -1 }", [(2, 3, 9, 8)]),
        ("Interp", "interp_param { height: 1 width: 9 }", [X]),
        ("Interp", "interp_param { height: 5 width: 4 }", [(2, 3, 1, 1)]),
        ("Interp", "", [X, (1, 1, 33, 65)]),
        ("Upsample", "upsample_param { scale: 3 }", [X]),
        ("Upsample", "", [X]),
        ("BatchNorm", "batch_norm_param { scale_bias: true eps: 0.01 }", [X]),
        ("BatchNorm", "batch_norm_param { use_weight_bias: true bias_term: false }", [X]),
        ("BatchNorm", "batch_norm_param { use_weight_bias: true use_global_stats: false }", [X]),
        ("BN", "", [X]),
        ("BN", "bn_param { frozen: true }", [(3, 4)]),
        ("BN", "bn_param { bn_mode: INFERENCE }", [X]),
        ("BN", "bn_param { bn_mode: LEARN scale_filler { type: 'constant' value: 1 } }", [X]),
        ("BN", "bn_param { var_eps: 0.1 }", [X]),
        ("BN", "bn_param { var_eps: 0.1 moving_average: true }", [X]),
        ("BN", "bn_param { var_eps: 0.1 across_spatial: false }", [X]),
        ("BN", "bn_param { var_eps: 0.1 across_spatial: false moving_average: true }", [X]),
        ("DepthwiseConvolution", "convolution_param { num_output: 3 group: 3 kernel_size: 3 pad: 1 }", [X]),
        ("ConvolutionDepthwise", "convolution_param { kernel_size: 3 stride: 2 }", [X]),
        (
            "Convolution",
            "convolution_param { num_output: 2 kernel_size: 3 relu: true negative_slope: 0.1 }",
            [X],
        ),
    ],
)
def test_forks(agree, type_, text, shapes):
    agree(type_, text, shapes, batch="N", tolerance=5e-6, low=-3, high=9 if type_ == "ReLU6" else 3)


def test_bn_with_three_tops(agree):
    agree("BN", "bn_param { bn_mode: LEARN scale_filler { value: 1 } }", [X], tops=3, batch="N")


@pytest.mark.parametrize("text", ["upsample_h: 6 upsample_w: 9", "scale: 2", "pad_out_h: 1 pad_out_w: 0"])
@pytest.mark.parametrize("batch", [None, "N"])
def test_unpooling(agree, text, batch):
    mask = np.stack([np.random.default_rng(i).permutation(42)[:20].reshape(5, 4) for i in range(9)])
    x = np.random.default_rng(9).uniform(size=(3, 3, 5, 4))
    values = {"x0": x, "x1": mask.reshape(3, 3, 5, 4)}
    agree("Upsample", f"upsample_param {{ {text} }}", [x.shape, x.shape], values=values, batch=batch)


@pytest.mark.parametrize("shape", [(64, 5), (64, 5, 1, 1)])
@pytest.mark.parametrize("scale", [1, 0.0625])
def test_roi_pooling(agree, shape, scale):
    rng = np.random.default_rng(1)
    rois = np.hstack([rng.integers(0, 2, (64, 1)), rng.integers(-3, 24, (64, 4)) * (0.5 / scale)])
    text = f"roi_pooling_param {{ pooled_h: 3 pooled_w: 4 spatial_scale: {scale} }}"
    agree("ROIPooling", text, [(2, 3, 9, 10), shape], values={"x1": rois.reshape(shape)})


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_recurrent(agree, type_, hidden, static, steps):
    shapes = [(steps, 2, 3, 2), (steps, 2)] + [(2, 4)] * static
    states = 1 + (type_ == "LSTM") if hidden else 0
    shapes += [(1, 2, 5)] * states
    cont = np.array([[0, 1], [1, 1], [1, 0], [1, 1]])[:steps]
    text = f"recurrent_param {{ num_output: 5 expose_hidden: {str(hidden).lower()} }}"
    agree(type_, text, shapes, tops=1 + states, values={"x1": cont}, tolerance=5e-6)


def test_lstm_unit(agree):
    cont = np.array([[0, 1, 1]])
    agree("LSTMUnit", "", [(1, 3, 5), (1, 3, 20), (1, 3)], tops=2, values={"x2": cont})


# -- the small ones ---------------------------------------------------------------------------------------------


def test_batch_reindex(agree):
    agree("BatchReindex", "", [X, (4,)], values={"x1": np.array([1, 1, 0, 1])})


@pytest.mark.parametrize("selector", [[1, 0, -2], [0, 0, 0]])
def test_filter(agree, selector):
    values = {"x2": np.array(selector)}
    agree("Filter", "", [(3, 2), (3, 4, 2), (3,)], tops=2, values=values)


def test_parameter(agree):
    assert agree("Parameter", "parameter_param { shape { dim: 2 dim: 3 } }", []) == {"Identity": 1}
