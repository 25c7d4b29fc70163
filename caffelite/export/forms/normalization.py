"""Layers that divide by a measure of size."""

from __future__ import annotations

import numpy as np

from caffelite.export.forms import form
from caffelite.export.tensors import Array, Tensor
from caffelite.export.writer import Writer
from caffelite.layers._affine import along


@form("LRN")
def lrn(to: Writer, x: Tensor) -> Tensor:
    size = to.p.local_size
    if to.layer.axes == (1,):
        return to.op("LRN", x, size=size, alpha=float(to.p.alpha), beta=to.layer.beta, bias=to.layer.k)
    reach = size // 2
    window = {"kernel_shape": [size, size], "pads": [reach] * 4, "count_include_pad": 1}
    mean = to.op("AveragePool", to.op("Mul", x, x), **window)
    return to.op("Mul", x, to.op("Pow", to.scaled(mean, float(to.p.alpha), to.layer.k), -to.layer.beta))


@form("BatchNorm")
def batch_norm(
    to: Writer,
    x: Tensor,
    mean: Array,
    variance: Array,
    factor: Array,
    scale: Array | None = None,
    bias: Array | None = None,
) -> Tensor:
    if to.layer.global_stats:
        share = 1 / factor if factor != 0 else np.zeros_like(factor)
        return _normalized(to, x, mean * share, variance * share, to.layer.eps, scale, bias)
    y, _, _ = _standardized(to, x, (0, *range(2, len(x.known))), to.layer.eps)
    return _affine(to, y, scale, bias, len(x.known))


@form("BN")
def bn(
    to: Writer, x: Tensor, scale: Array, shift: Array, mean: Array | None, variance: Array | None
) -> list[Tensor]:
    kept, ndim, layer = to.layer.kept, len(x.known), to.layer
    scale, shift = scale.reshape(kept), shift.reshape(kept)
    if layer.affine:
        return [_affine(to, x, scale, shift, ndim)]
    if not layer.fixed or mean is None or variance is None:
        y, *statistics = _standardized(to, x, (0, *range(1 + len(kept), ndim)), layer.eps)
        tops = [to.like_top(tensor, i) for i, tensor in enumerate(statistics[: len(to.tops) - 1], start=1)]
        return [_affine(to, y, scale, shift, ndim), *tops]
    mean, variance = mean.reshape(kept), variance.reshape(kept)
    if len(kept) == 1:
        return [_normalized(to, x, mean, variance, layer.eps, scale, shift)]
    factor = scale / np.sqrt(variance + layer.eps)
    return [_affine(to, x, factor, shift - mean * factor, ndim)]


@form("MVN")
def mvn(to: Writer, x: Tensor) -> Tensor:
    known, full = len(x.known), len(to.layer.full)
    if known < full:
        x = to.reshape(x, [0] * known + [1] * (full - known))
    y = to.op("Sub", x, to.mean(x, to.layer.over))
    if to.p.normalize_variance:
        deviation = to.op("Sqrt", to.mean(to.op("Mul", y, y), to.layer.over))
        y = to.op("Div", y, to.op("Add", deviation, float(to.p.eps)))
    return y if len(to.tops[0]) == full else to.like_top(y)


@form("Normalize")
def normalize(to: Writer, x: Tensor, W: Array) -> Tensor:
    size = to.total(to.op("Mul", x, x), to.layer.over)
    unit = to.op("Div", x, to.op("Sqrt", to.op("Add", size, float(to.p.eps))))
    return to.op("Mul", unit, along(W, 1, len(x.known)))


def _normalized(
    to: Writer, x: Tensor, mean: Array, variance: Array, eps: float, scale: Array | None, bias: Array | None
) -> Tensor:
    """One BatchNormalization, with given statistics for each channel."""
    scale = np.ones_like(mean) if scale is None else scale
    bias = np.zeros_like(mean) if bias is None else bias
    return to.op("BatchNormalization", x, scale, bias, mean, variance, epsilon=float(eps))


def _standardized(to: Writer, x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mean) / sqrt(variance + eps) with the statistics of the batch itself, and these."""
    mean = to.mean(x, axes)
    centred = to.op("Sub", x, mean)
    variance = to.mean(to.op("Mul", centred, centred), axes)
    return to.op("Div", centred, to.op("Sqrt", to.op("Add", variance, float(eps)))), mean, variance


def _affine(to: Writer, x: Tensor, scale: Array | None, shift: Array | None, ndim: int) -> Tensor:
    """x * scale + shift, both lying along the channels and what follows them."""
    y = x if scale is None else to.op("Mul", x, along(scale, 1, ndim))
    return y if shift is None else to.op("Add", y, along(shift, 1, ndim))
