"""BatchNorm, Scale, Bias and PReLU on the GPU: which sites they take, sums of many values, and how exact these are."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.cuda.batch_norm import CudaBatchNorm
from caffelite.cuda.bias import CudaBias
from caffelite.cuda.channels import APART, Along, along
from caffelite.cuda.prelu import CudaPReLU
from caffelite.cuda.scale import CudaScale
from caffelite.plan.kernel import CHANNELS_LAST, PLAIN, Operand
from caffelite.testing.case import LayerCase, Run, Variant
from caffelite.testing.checks import check_same
from caffelite.types import Phase

from .shim import COMPILER

pytestmark = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
KERNELS = {"BatchNorm": CudaBatchNorm, "Scale": CudaScale, "Bias": CudaBias, "PReLU": CudaPReLU}
LAYOUTS = (PLAIN, CHANNELS_LAST)
BOTH = [
    ("BatchNorm", ""),
    ("BatchNorm", "batch_norm_param { use_global_stats: true }"),
    ("BatchNorm", "batch_norm_param { scale_bias: true }"),
    ("Scale", "scale_param { bias_term: true }"),
    ("Bias", ""),
    ("PReLU", ""),
    ("PReLU", "prelu_param { channel_shared: true }"),
]


def variants(type_, layout, engine):
    """The kernel and the array body, both in float32: sums in which much cancels depend on how x is rounded."""
    return Variant(KERNELS[type_], layout, engine=engine), Variant()


def refusal(type_, text, shapes, layout, engine):
    case = LayerCase(type_, text, tuple(shapes))
    site = Run(case, Variant(None, layout, engine=engine)).kernel.site
    return KERNELS[type_].refuses(site)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 1, 3, 3), (4, 3), (2, 3, 7), (2, 3, 2, 2, 2)])
@pytest.mark.parametrize(("type_", "text"), BOTH)
def test_ordinary_sites_are_taken(type_, text, shape, layout, engine):
    assert engine.kernels(type_) == (KERNELS[type_],)
    assert refusal(type_, text, [shape], layout, engine) == ""


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("axis", "second"), [(0, (2, 3)), (1, (3,)), (2, (5, 4)), (0, ()), (0, (2,)), (3, (4,))]
)
def test_second_bottoms_are_taken(axis, second, layout, engine):
    shapes = [(2, 3, 5, 4), second]
    assert refusal("Scale", f"scale_param {{ axis: {axis} }}", shapes, layout, engine) == ""
    assert refusal("Bias", f"bias_param {{ axis: {axis} }}", shapes, layout, engine) == ""


def test_numbers_apart_in_memory_are_refused(engine):
    text = "scale_param { axis: 1 num_axes: 2 }"
    assert refusal("Scale", text, [(2, 3, 5, 4)], CHANNELS_LAST, engine) == APART
    assert refusal("Scale", text, [(2, 3, 5, 4)], PLAIN, engine) == ""
    assert refusal("PReLU", "", [(0, 3, 5, 4)], PLAIN, engine) == "an empty blob"


@pytest.mark.parametrize(
    ("layout", "shape", "start", "expected"),
    [
        (PLAIN, (3,), 1, Along(1, 2, 3, 20)),
        (CHANNELS_LAST, (3,), 1, Along(1, 40, 3, 1)),
        (PLAIN, (2, 3), 0, Along(1, 1, 6, 20)),
        (CHANNELS_LAST, (2, 3), 0, Along(2, 20, 3, 1)),
        (CHANNELS_LAST, (5, 4), 2, Along(1, 2, 20, 3)),
        (CHANNELS_LAST, (4,), 3, Along(1, 10, 4, 3)),
        (CHANNELS_LAST, (), 1, Along(1, 1, 1, 120)),
        (CHANNELS_LAST, (2, 3, 5), 0, None),
    ],
)
def test_where_numbers_lie(layout, shape, start, expected):
    assert along(Operand((2, 3, 5, 4), layout), shape, start) == expected


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 5, 67, 71), (2, 300, 9, 9), (40, 1, 60, 33), (700, 3, 1, 2)])
@pytest.mark.parametrize(("type_", "text"), BOTH)
def test_many_values(type_, text, shape, layout, engine):
    case = LayerCase(type_, text, (shape,))
    check_same(case, *variants(type_, layout, engine), "kernel and body")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("type_", "axis", "second"), [("Scale", 0, (9, 5)), ("Bias", 0, (9, 5)), ("Scale", 2, (30, 21))])  # fmt: skip
def test_many_values_of_a_second_bottom(type_, axis, second, layout, engine):
    text = f"{type_.lower()}_param {{ axis: {axis} }}"
    case = LayerCase(type_, text, ((9, 5, 30, 21), second))
    check_same(case, *variants(type_, layout, engine), "kernel and body")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("outlier", [0.0, 3e4])
def test_a_small_spread_far_from_zero(layout, outlier, engine):
    x = np.random.default_rng(1).normal(1000, 0.1, (4, 2, 65, 33)).astype(np.float32)
    x[0, :, 0, 0] += outlier  # the first value of the first part
    case = LayerCase("BatchNorm", "", (x.shape,), values={0: x}, params={"mean": [0, 0], "variance": [0, 0]})
    run = Run(case, Variant(CudaBatchNorm, layout, engine=engine)).forward()
    exact = x.astype(np.float64)
    values = x.size // 2
    np.testing.assert_allclose(run.params["mean"].data, exact.mean(axis=(0, 2, 3)), rtol=1e-7)
    unbiased = exact.var(axis=(0, 2, 3)) * values / (values - 1)
    np.testing.assert_allclose(run.params["variance"].data, unbiased, rtol=1e-5)


@pytest.mark.parametrize("phase", Phase)
def test_statistics_follow_every_pass(phase, engine):
    case = LayerCase("BatchNorm", "", ((4, 3, 5, 6),), phase=phase)
    runs = [
        Run(case, variant).forward().forward() for variant in variants("BatchNorm", CHANNELS_LAST, engine)
    ]
    for name in ("mean", "variance", "factor"):
        got, want = (run.params[name].data for run in runs)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_a_first_batch_counts_alone_in_averages(engine):
    zeros = {"mean": [0] * 3, "variance": [0] * 3, "factor": [0]}
    case = LayerCase("BatchNorm", "batch_norm_param { scale_bias: true }", ((4, 3, 5, 6),), params=zeros)
    check_same(case, *variants("BatchNorm", CHANNELS_LAST, engine), "kernel and body")


def test_untrained_statistics_are_zeros(engine):
    case = LayerCase("BatchNorm", "", ((4, 3, 5, 6),), phase=Phase.TEST, params={"factor": [0]})
    check_same(case, *variants("BatchNorm", PLAIN, engine), "kernel and body")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_prelu_keeps_nan_and_zero_counts_as_negative(layout, engine):
    x = np.array([np.nan, 0.0, -2.0, 3.0]).reshape(1, 1, 2, 2).repeat(2, axis=1)
    case = LayerCase("PReLU", "", (x.shape,), values={0: x}, params={"W": [0.5, 0.25]})
    run = Run(case, Variant(CudaPReLU, layout, engine=engine)).forward().backward()
    np.testing.assert_array_equal(run.y[0][0, 0].reshape(-1), [np.nan, 0, -1, 3])
    slope = run.dx[0][0, 1].reshape(-1) / run.dy[0][0, 1].reshape(-1)
    np.testing.assert_array_equal(slope, [0.25, 0.25, 0.25, 1])
    assert np.isnan(run.params["W"].grad).all()


@pytest.mark.parametrize(("type_", "text"), BOTH)
def test_a_run_equals_its_repetition(type_, text, engine):
    case = LayerCase(type_, text, ((3, 5, 37, 41),))
    first, second = (
        Run(case, variants(type_, CHANNELS_LAST, engine)[0]).forward().backward() for _ in range(2)
    )
    np.testing.assert_array_equal(first.y[0], second.y[0])
    np.testing.assert_array_equal(first.dx[0], second.dx[0])
    for name, gradient in first.learned.items():
        np.testing.assert_array_equal(gradient, second.learned[name])
