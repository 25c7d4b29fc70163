"""Convolution and Deconvolution through oneDNN."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from caffelite.cpu import threads


def fields(text):
    return f"convolution_param {{ {text} }}"


FILTERS = [
    "num_output: 6 kernel_size: 3",
    "num_output: 16 kernel_size: 3 pad: 1",
    "num_output: 5 kernel_h: 1 kernel_w: 4 pad_w: 2 bias_term: false",
    "num_output: 7 kernel_size: 5 stride: 3 pad: 4",
    "num_output: 4 kernel_size: 3 dilation: 2 pad: 2",
    "num_output: 4 kernel_size: 3 group: 2 pad: 1 stride: 2",
    "num_output: 4 kernel_size: 4 group: 4 stride: 2 pad: 1",
    "num_output: 33 kernel_size: 1",
]


@pytest.mark.parametrize("type_", ["Convolution", "Deconvolution"])
@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize("shape", [(2, 4, 7, 9), (1, 20, 5, 6)])
def test_filters(agrees, type_, text, shape):
    agrees(type_, fields(text), shape)


@pytest.mark.parametrize("type_", ["Convolution", "Deconvolution"])
@pytest.mark.parametrize("shape", [(2, 3, 9), (2, 3, 4, 5, 6), (2, 3, 1, 1), (3, 1, 5, 4)])
def test_other_shapes(agrees, type_, shape):
    agrees(type_, fields("num_output: 4 kernel_size: 3 pad: 1"), shape)


def test_several_bottoms_share_weights(agrees):
    agrees("Convolution", fields("num_output: 4 kernel_size: 3"), (2, 3, 5, 6), (2, 3, 5, 6), tops=2)


@pytest.mark.parametrize("type_", ["Convolution", "Deconvolution"])
@pytest.mark.parametrize("channels", [3, 16])
def test_bfloat16(agrees, type_, channels):
    agrees(type_, fields("num_output: 16 kernel_size: 3"), (2, channels, 6, 5), precision="bf16")


def test_another_channel_axis_is_left_to_the_array_body(objections):
    got = objections("Convolution", fields("num_output: 4 kernel_size: 3 axis: 2"), (2, 3, 4, 5, 6))
    assert got == {"it takes (N, C, *S) with 1 to 3 spatial axes"}


def test_empty_blobs_are_left_to_the_array_body(objections):
    assert objections("Convolution", fields("num_output: 4 kernel_size: 3"), (0, 3, 5, 6)) == {
        "an empty blob"
    }


def test_weights_are_packed_again_only_when_touched(run_kernel):
    run = run_kernel("Convolution", fields("num_output: 4 kernel_size: 3 bias_term: false"), (2, 3, 5, 6))
    before = run.forward().y[0].copy()
    W = run.params["W"].data
    W *= 2
    run._compute(run.kernel.forward)
    np.testing.assert_array_equal(run.y[0], before)
    run.params["W"].touch()
    run._compute(run.kernel.forward)
    np.testing.assert_allclose(run.y[0], 2 * before, rtol=1e-5, atol=1e-6)


def test_a_view_that_a_user_holds_reaches_the_next_pass(run_kernel):
    run = run_kernel("Convolution", fields("num_output: 4 kernel_size: 3 bias_term: false"), (2, 3, 5, 6))
    view = run.params["W"].data_view()
    before = run.forward().y[0].copy()
    view *= 2
    run._compute(run.kernel.forward)
    np.testing.assert_allclose(run.y[0], 2 * before, rtol=1e-5, atol=1e-6)


def test_only_a_bias_is_learned(run_kernel):
    run = run_kernel("Convolution", fields("num_output: 4 kernel_size: 3"), (2, 3, 5, 6))
    run.kernel.site.learn["W"] = False
    run.forward().backward()
    np.testing.assert_allclose(run.params["b"].grad, run.dy[0].sum((0, 2, 3)), rtol=1e-5)
    assert run.params["W"].grad_is_zero


def test_only_channels_in_c_order_are_copied(run_kernel):
    text = fields("num_output: 4 kernel_size: 3")
    assert run_kernel("Convolution", text, (2, 3, 5, 6)).kernel.note() == ""
    assert run_kernel("Convolution", text, (2, 3, 5, 6), layout="plain").kernel.note() == "copies x"
    assert run_kernel("Convolution", text, (2, 1, 5, 6), layout="plain").kernel.note() == ""


def test_the_number_of_threads_may_change_between_passes(run_kernel):
    run = run_kernel("Convolution", fields("num_output: 32 kernel_size: 3"), (2, 16, 15, 16))
    try:
        threads.set_threads(1)
        y, dx = run.forward().backward().y[0].copy(), run.dx[0].copy()
        threads.set_threads(3)
        run._compute(run.kernel.forward)
        run._compute(run.kernel.backward)
    finally:
        threads.set_threads(None)
    np.testing.assert_allclose(run.y[0], y, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(run.dx[0], dx, rtol=1e-5, atol=1e-5)


def test_kernels_run_in_several_threads_at_once(run_kernel):
    text = fields("num_output: 32 kernel_size: 3 stride: 2")  # its weight gradient uses scratch space
    runs = [
        run_kernel("Convolution", text, (2, 16, 15, 16), seed=seed).forward().backward() for seed in range(2)
    ]
    expected = [(run.y[0].copy(), run.dx[0].copy()) for run in runs]

    def repeat(run):
        for _ in range(30):
            run._compute(run.kernel.forward)
            run._compute(run.kernel.backward)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(repeat, runs))
    for run, (y, dx) in zip(runs, expected, strict=True):
        np.testing.assert_array_equal(run.y[0], y)
        np.testing.assert_array_equal(run.dx[0], dx)
        grad = (
            31
            * run_kernel("Convolution", text, (2, 16, 15, 16), seed=run.case.seed)
            .forward()
            .backward()
            .params["W"]
            .grad
        )
        np.testing.assert_allclose(run.params["W"].grad, grad, rtol=1e-3, atol=1e-2)
