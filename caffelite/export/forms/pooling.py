"""Pooling, with Caffe's way to place windows at the border and to divide there."""

from __future__ import annotations

from math import prod

import numpy as np

from caffelite.export.forms import form
from caffelite.export.tensors import Tensor
from caffelite.export.writer import Writer
from caffelite.layers._windows import Windows
from caffelite.layers.base import enum_name
from caffelite.layers.spp import SharedWindows

_LOWEST = -3.4028234663852886e38  # -FLT_MAX, what Caffe gives for a window without elements


@form("Pooling")
def pooling(to: Writer, x: Tensor) -> Tensor | list[Tensor]:
    if len(to.tops) == 1 and to.p.global_pooling and to.layer.method in _GLOBAL:
        return to.op(_GLOBAL[to.layer.method], x)
    to.fixed(x, range(2, len(x.known)))
    if len(to.tops) > 1:
        return _max_and_mask(to, x, to.layer.windows)
    return _METHODS[to.layer.method](to, x, to.layer.windows)


@form("SPP")
def spp(to: Writer, x: Tensor) -> Tensor:
    to.fixed(x, range(2, len(x.known)))
    pool = _METHODS[enum_name(to.p, "pool")]
    levels = [pool(to, x, windows) for windows in to.layer.levels]
    if len(levels) == 1:
        return levels[0]
    return to.op("Concat", *(to.op("Flatten", level, axis=1) for level in levels), axis=1)


def _max(to: Writer, x: Tensor, w: Windows) -> Tensor:
    padded, pads = _fitted(to, x, w, _LOWEST)
    return to.op("MaxPool", padded, **_geometry(w, pads))


def _max_and_mask(to: Writer, x: Tensor, w: Windows) -> list[Tensor]:
    """ONNX counts places through all planes, Caffe in each."""
    padded, pads = _fitted(to, x, w, _LOWEST)
    if padded is not x:
        raise to.refuse("its mask has windows without any element")
    y, index = to.ops("MaxPool", 2, x, **_geometry(w, pads))
    plane = np.array(prod(w.sizes), np.int64)
    return [y, to.cast(to.op("Mod", index, plane), "float32")]


def _average(to: Writer, x: Tensor, w: Windows) -> Tensor:
    """Caffe divides by the part of a window inside the padded image, ONNX by all of it or by none of the padding."""
    padded, pads = _fitted(to, x, w, 0.0)
    if padded is x and not any(w.pad):
        return to.op("AveragePool", x, count_include_pad=0, **_geometry(w, pads))
    y = to.op("AveragePool", padded, count_include_pad=1, **_geometry(w, pads))
    divisors = w.counts(np, np.dtype(np.float32))
    if (divisors == w.positions).all():
        return y
    return to.op("Mul", y, (w.positions / divisors)[np.newaxis, np.newaxis])


def _expected(to: Writer, x: Tensor, w: Windows) -> Tensor:
    """STOCHASTIC in TEST: sum(x^2) / sum(x), the divisors of both averages being the same."""
    square = _average(to, to.op("Mul", x, x), w)
    mean = _average(to, x, w)
    positive = to.op("Greater", mean, 0.0)
    return to.op("Where", positive, to.op("Div", square, to.op("Where", positive, mean, 1.0)), 0.0)


def _fitted(to: Writer, x: Tensor, w: Windows, value: float) -> tuple[Tensor, list[int]]:
    """x and the pads that make ONNX count as many windows as Caffe; x itself padded where a window lies beyond it."""
    if isinstance(w, SharedWindows):
        return _shared(to, x, w, value), [0] * (2 * len(w.out))
    axes = list(zip(w.sizes, w.kernel, w.stride, w.pad, w.out, strict=True))
    ends = [max(0, (out - 1) * stride + kernel - size - pad) for size, kernel, stride, pad, out in axes]
    if all(end < kernel for end, kernel in zip(ends, w.kernel, strict=True)):
        return x, [*w.pad, *ends]
    return to.op("Pad", x, (0, 0, *w.pad, 0, 0, *ends), value), [0] * (2 * len(ends))


def _shared(to: Writer, x: Tensor, w: SharedWindows, value: float) -> Tensor:
    """Windows that share elements, of uneven lengths: a copy for each, filled up with ``value``, one behind the other."""
    ndim = 2 + len(w.out)
    for axis, (size, kernel, bins) in enumerate(zip(w.sizes, w.kernel, w.out, strict=True), start=2):
        window = np.arange(bins)[:, np.newaxis]
        end = -(-(window + 1) * size // bins)
        place = window * size // bins + np.arange(kernel)
        inside = (place < end).reshape(-1, *(1,) * (ndim - axis - 1))
        copies = to.op("Gather", x, np.minimum(place, end - 1).reshape(-1), axis=axis)
        x = to.op("Where", inside, copies, value)
    return x


def _geometry(w: Windows, pads: list[int]) -> dict[str, list[int]]:
    return {"kernel_shape": list(w.kernel), "strides": list(w.stride), "pads": pads}


_METHODS = {"MAX": _max, "AVE": _average, "STOCHASTIC": _expected}
_GLOBAL = {"MAX": "GlobalMaxPool", "AVE": "GlobalAveragePool"}
