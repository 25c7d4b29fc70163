"""InnerProduct through oneDNN."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    "text", ["", "transpose: true", "bias_term: false", "bias_term: false transpose: true"]
)
@pytest.mark.parametrize("shape", [(3, 7), (1, 5), (2, 3, 4, 5), (1, 3, 4, 5), (2, 3, 1, 1), (2, 1, 3, 4)])
def test_matrices(agrees, text, shape):
    agrees("InnerProduct", f"inner_product_param {{ num_output: 6 {text} }}", shape)


@pytest.mark.parametrize("shape", [(4, 2, 3), (2, 3, 4, 5)])
def test_an_axis_further_back(agrees, shape):
    agrees("InnerProduct", "inner_product_param { num_output: 6 axis: 2 }", shape)


@pytest.mark.parametrize("text", ["", "transpose: true"])
@pytest.mark.parametrize("shape", [(3, 7), (2, 3, 4, 5)])
def test_bfloat16(agrees, text, shape):
    agrees("InnerProduct", f"inner_product_param {{ num_output: 6 {text} }}", shape, precision="bf16")


def test_a_channels_last_image_is_copied(run_kernel):
    text = "inner_product_param { num_output: 6 }"
    assert run_kernel("InnerProduct", text, (2, 3, 4, 5)).kernel.note() == "copies x"
    assert run_kernel("InnerProduct", text, (2, 3, 4, 5), layout="plain").kernel.note() == ""
    assert run_kernel("InnerProduct", text, (2, 3, 1, 1)).kernel.note() == ""
