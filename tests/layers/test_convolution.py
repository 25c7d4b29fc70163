"""Convolution."""

import numpy as np
import pytest

from caffelite.testing import check_layer, make_layer, run_layer


def conv(fields):
    return f"convolution_param {{ {fields} }}"


def test_worked_example():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    kernel = np.array([[[[1, 0], [0, -1]]]])  # upper left minus lower right: not flipped
    run = run_layer("Convolution", conv("num_output: 1 kernel_size: 2"), [x], params={"W": kernel, "b": [10]})
    np.testing.assert_array_equal(run.y[0], [[[[6, 6], [6, 6]]]])


def test_worked_gradient():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    run = run_layer(
        "Convolution",
        conv("num_output: 1 kernel_size: 2"),
        [x],
        params={"W": [[[[1, 2], [3, 4]]]], "b": [0]},
        dy=[[[[1, 0], [0, 0]]]],
    )
    np.testing.assert_array_equal(run.dx[0], [[[[1, 2, 0], [3, 4, 0], [0, 0, 0]]]])
    np.testing.assert_array_equal(run.dparams["W"], [[[[0, 1], [3, 4]]]])
    np.testing.assert_array_equal(run.dparams["b"], [1])


def test_bottoms_share_the_weights():
    x = np.ones((1, 1, 2, 2))
    text = conv("num_output: 1 kernel_size: 2 bias_term: false")
    dy = np.ones((1, 1, 1, 1))
    run = run_layer("Convolution", text, [x, 2 * x], tops=2, params={"W": np.ones((1, 1, 2, 2))}, dy=[dy, dy])
    assert [float(y[0, 0, 0, 0]) for y in run.y] == [4, 8]
    np.testing.assert_array_equal(run.dparams["W"], np.full((1, 1, 2, 2), 3))


@pytest.mark.parametrize(
    ("fields", "shape", "top"),
    [
        ("num_output: 4 kernel_size: 3", (2, 3, 7, 5), (2, 4, 5, 3)),
        ("num_output: 4 kernel_size: 3 pad: 1 stride: 2 bias_term: false", (2, 3, 7, 5), (2, 4, 4, 3)),
        (
            "num_output: 4 kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 1 stride_h: 2 stride_w: 1",
            (2, 3, 5, 4),
            (2, 4, 3, 4),
        ),
        ("num_output: 4 kernel_size: 3 kernel_size: 2 pad: 1 pad: 0", (1, 2, 4, 5), (1, 4, 4, 4)),
        ("num_output: 4 kernel_size: 3 dilation: 2 pad: 2", (1, 2, 5, 6), (1, 4, 5, 6)),
        ("num_output: 6 kernel_size: 3 group: 3", (2, 3, 5, 4), (2, 6, 3, 2)),
        ("num_output: 4 kernel_size: 3 pad: 1 group: 4", (2, 4, 3, 4), (2, 4, 3, 4)),
        ("num_output: 3 kernel_size: 1", (2, 3, 4, 5), (2, 3, 4, 5)),
        ("num_output: 3 kernel_size: 1 stride: 2", (2, 3, 4, 5), (2, 3, 2, 3)),
        ("num_output: 2 kernel_size: 2", (2, 3, 5), (2, 2, 4)),  # one spatial axis
        ("num_output: 2 kernel_size: 2 stride: 2", (1, 2, 4, 3, 5), (1, 2, 2, 1, 2)),  # three
        ("num_output: 2", (3, 4), (3, 2)),  # none
        ("num_output: 2 kernel_size: 2 axis: 2", (2, 3, 2, 4, 3), (2, 3, 2, 3, 2)),
    ],
)
def test_checks(fields, shape, top):
    layer = make_layer("Convolution", conv(fields))
    assert layer.infer([shape]) == [top]
    check_layer("Convolution", conv(fields), [shape])


def test_several_bottoms():
    check_layer("Convolution", conv("num_output: 2 kernel_size: 3 pad: 1"), [(2, 3, 4, 5)] * 2, tops=2)


def test_macs():
    layer = make_layer("Convolution", conv("num_output: 64 kernel_size: 7 stride: 2 pad: 3"))
    tops = layer.infer([(1, 3, 224, 224)])
    assert layer.macs([(1, 3, 224, 224)], tops) == 118013952  # ResNet's conv1


def test_a_batch_larger_than_one_chunk(monkeypatch):
    monkeypatch.setattr("caffelite.layers._convolution._CHUNK_ELEMENTS", 100)
    check_layer("Convolution", conv("num_output: 4 kernel_size: 3 group: 2"), [(5, 4, 5, 4)])


@pytest.mark.parametrize(
    ("fields", "shape", "text"),
    [
        ("kernel_size: 3", (2, 3, 5, 4), "num_output >= 1, got 0\n  Fix: set convolution_param.num_output"),
        ("num_output: 4", (2, 3, 5, 4), "kernel_size once or once for each of 2 spatial axes, got 0 values"),
        ("num_output: 4 kernel_size: 0", (2, 3, 5, 4), "kernel_size >= 1, got 0"),
        ("num_output: 4 kernel_size: 3 stride: 0", (2, 3, 5, 4), "stride >= 1, got 0"),
        ("num_output: 4 kernel_size: 3 dilation: 0", (2, 3, 5, 4), "dilation >= 1, got 0"),
        ("num_output: 4 kernel_h: 3", (2, 3, 5, 4), "kernel_size >= 1, got 3x0"),
        ("num_output: 4 kernel_size: 3 kernel_h: 3 kernel_w: 3", (2, 3, 5, 4), "either kernel_size or kernel_h and kernel_w, got both"),
        ("num_output: 4 kernel_h: 3 kernel_w: 3", (2, 3, 5), "kernel_h and kernel_w only with 2 spatial axes, got 1\n  Fix: use kernel_size"),
        ("num_output: 4 kernel_size: 3 kernel_size: 3 kernel_size: 3", (2, 3, 5, 4), "kernel_size once or once for each of 2 spatial axes, got 3 values"),
        ("num_output: 4 kernel_size: 3 group: 2", (2, 3, 5, 4), "channels in multiples of group 2, got x=(2, 3, 5, 4) with 3 channels"),
        ("num_output: 4 kernel_size: 3 group: 3", (2, 3, 5, 4), "num_output in multiples of group 3, got 4"),
        ("num_output: 4 kernel_size: 3 group: 0", (2, 3, 5, 4), "group >= 1, got 0"),
        ("num_output: 4 kernel_size: 3 axis: 4", (2, 3, 5, 4), "an axis from -4 to 3 for a bottom with 4 axes, got 4"),
    ],
)  # fmt: skip
def test_bad_parameters(message, fields, shape, text):
    assert message("Convolution", conv(fields), [shape]) == f"layer 'layer' (Convolution): expected {text}"


def test_kernel_larger_than_the_input(message):
    assert message("Convolution", conv("num_output: 4 kernel_size: 7 pad: 1"), [(2, 3, 5, 4)]) == (
        "layer 'layer' (Convolution): expected a kernel that fits the padded 5x4 input, "
        "got kernel 7x7, dilation 1x1, pad 1x1, stride 1x1, which gives an output of 1x0\n"
        "  Fix: use a smaller kernel_size or a larger pad or image"
    )


def test_bottoms_of_two_shapes(message):
    text = message("Convolution", conv("num_output: 4 kernel_size: 1"), [(2, 3, 5, 4), (2, 3, 4, 4)], tops=2)
    assert text == (
        "layer 'layer' (Convolution): expected bottoms of one shape, since they share weights, "
        "got x[0]=(2, 3, 5, 4), x[1]=(2, 3, 4, 4)"
    )


# -- forks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0, 0.25])
def test_a_relu_of_its_own(slope):
    x = np.random.default_rng(1).normal(size=(2, 3, 5, 4))
    text, W, b = (
        "num_output: 4 kernel_size: 3 pad: 1",
        np.random.default_rng(2).normal(size=(4, 3, 3, 3)),
        np.ones(4),
    )
    plain = run_layer("Convolution", f"convolution_param {{ {text} }}", [x], params={"W": W, "b": b})
    fused = f"convolution_param {{ {text} relu: true negative_slope: {slope} }}"
    run = run_layer("Convolution", fused, [x], params={"W": W, "b": b}, dy=[1])
    y = plain.y[0]
    np.testing.assert_allclose(run.y[0], np.where(y > 0, y, slope * y))
    gate = np.where(y > 0, 1, slope)
    np.testing.assert_allclose(run.dparams["b"], gate.sum(axis=(0, 2, 3)))
    check_layer("Convolution", fused, [(2, 3, 5, 4)])


def test_dilations_by_axis():
    x, params = np.arange(48.0).reshape(1, 1, 8, 6), {"W": np.ones((1, 1, 2, 2)), "b": [0]}
    text = "convolution_param { num_output: 1 kernel_size: 2 %s }"
    each = run_layer("Convolution", text % "dilation_h: 3 dilation_w: 2", [x], params=params)
    both = run_layer("Convolution", text % "dilation: 3 dilation: 2", [x], params=params)
    np.testing.assert_array_equal(each.y[0], both.y[0])


def test_a_relu_that_rises_below_0(message):
    text = "convolution_param { num_output: 1 kernel_size: 1 relu: true negative_slope: -1 }"
    assert "expected negative_slope >= 0, got -1" in message("Convolution", text)
