"""Layers that divide by a measure of size."""

from __future__ import annotations

import numpy as np

from caffelite.export.forms import form
from caffelite.export.tensors import Array, Tensor
from caffelite.export.writer import Writer


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
def batch_norm(to: Writer, x: Tensor, mean: Array, variance: Array, factor: Array) -> Tensor:
    if not to.layer.global_stats:
        return _standardized(to, x, to.layer.others, float(to.p.eps))
    scale = 1 / factor if factor != 0 else np.zeros_like(factor)
    unit = np.ones_like(mean)
    return to.op(
        "BatchNormalization", x, unit, 0 * unit, mean * scale, variance * scale, epsilon=float(to.p.eps)
    )


@form("MVN")
def mvn(to: Writer, x: Tensor) -> Tensor:
    centred = to.op("Sub", x, to.mean(x, to.layer.over))
    if not to.p.normalize_variance:
        return centred
    deviation = to.op("Sqrt", to.mean(to.op("Mul", centred, centred), to.layer.over))
    return to.op("Div", centred, to.op("Add", deviation, float(to.p.eps)))


def _standardized(to: Writer, x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """(x - mean) / sqrt(variance + eps) with the statistics of the batch itself."""
    centred = to.op("Sub", x, to.mean(x, axes))
    variance = to.mean(to.op("Mul", centred, centred), axes)
    return to.op("Div", centred, to.op("Sqrt", to.op("Add", variance, eps)))
