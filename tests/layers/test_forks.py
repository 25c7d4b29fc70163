"""Fields of Caffe's forks: refused where they would change a result, passed over where they would not."""

from __future__ import annotations

import pytest

from caffelite.errors import NetError
from caffelite.layers import registry
from caffelite.layers._forks import _LAST_OWN
from caffelite.layers.dropout import Dropout
from caffelite.prototxt.schema import message
from caffelite.testing import make_layer

CONVOLUTION = "num_output: 2 kernel_size: 1"


@pytest.mark.parametrize(
    ("type_", "text", "bottoms"),
    [
        ("Convolution", f"convolution_param {{ {CONVOLUTION} tf_pad: VALID }}", 1),
        ("Convolution", f"convolution_param {{ {CONVOLUTION} filter_stride: 2 }}", 1),
        ("InnerProduct", "inner_product_param { num_output: 2 normalize: true }", 1),
        ("BatchNorm", "batch_norm_param { disable_mean: true }", 1),
        ("BatchNorm", "batch_norm_param { relu: true }", 1),
        ("SigmoidCrossEntropyLoss", "loss_param { class_weighting: 0.5 class_weighting: 2 }", 2),
        ("SoftmaxWithLoss", "softmax_param { class_weight: 0.5 }", 2),
        ("Pooling", "pooling_param { kernel_size: 2 avg_include_pad: false }", 1),
    ],
)
def test_a_field_that_would_change_the_result_is_refused(type_, text, bottoms):
    with pytest.raises(NetError, match=r"(?s)at <text>:1:\d+: .*a field of a fork of Caffe") as caught:
        make_layer(type_, text, bottoms)
    assert ":1:1:" not in str(caught.value)  # it points at the field, not at the layer


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (
            "Convolution",
            f"convolution_param {{ {CONVOLUTION} engine: MKL2017 cudnn_convolution_algo_seeker: GET }}",
        ),
        ("Convolution", f"convolution_param {{ {CONVOLUTION} relu: false }}"),
        ("Pooling", "pooling_param { kernel_size: 2 avg_include_pad: true }"),
        ("ReLU", "relu_param { fuse: true }"),
        ("Dropout", "dropout_param { random_seed: 3 }"),
    ],
)
def test_a_choice_of_algorithm_or_a_default_is_not(type_, text):
    make_layer(type_, text)


@pytest.mark.parametrize(
    ("type_", "text", "bottoms"),
    [
        ("Pooling", "pooling_param { pool: DEF_ALL kernel_size: 2 }", 1),
        ("Eltwise", "eltwise_param { operation: SORT }", 2),
        ("Reduction", "reduction_param { operation: TOPK }", 1),
        ("SoftmaxWithLoss", "loss_param { normalization: PRE_FIXED }", 2),
    ],
)
def test_a_forks_value_of_an_enum_is_refused(type_, text, bottoms):
    value = text.split(": ")[1].split()[0]
    with pytest.raises(NetError, match=f"expected .*, got {value}"):
        make_layer(type_, text, bottoms)


def test_a_layer_may_say_that_it_understands_a_field(monkeypatch):
    class SquareRootDropout(Dropout):
        extensions = ("sqrt_scale",)

    monkeypatch.setitem(registry._users, "SquareRootDropout", SquareRootDropout)
    make_layer("SquareRootDropout", "dropout_param { sqrt_scale: true }")
    with pytest.raises(NetError, match="sqrt_scale"):
        make_layer("Dropout", "dropout_param { sqrt_scale: true }")


def test_the_table_names_messages_and_numbers_of_the_schema():
    for name, last in _LAST_OWN.items():
        numbers = [field.number for field in message(name).DESCRIPTOR.fields]
        assert last in numbers
        assert max(numbers) > last
