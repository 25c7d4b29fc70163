"""Pooling, with Caffe's way to place windows at the border and to divide there."""

from __future__ import annotations

import numpy as np

from caffelite.export.forms import form
from caffelite.export.tensors import Tensor
from caffelite.export.writer import Writer
from caffelite.layers._windows import Windows

_LOWEST = -3.4028234663852886e38  # -FLT_MAX, what Caffe gives for a window without elements


@form("Pooling")
def pooling(to: Writer, x: Tensor) -> Tensor | list[Tensor]:
    if to.layer.method == "MAX":
        return _max(to, x, to.layer.windows)
    if to.layer.method == "AVE":
        return _average(to, x, to.layer.windows)
    return _expected(to, x, to.layer.windows)


def _max(to: Writer, x: Tensor, w: Windows) -> Tensor | list[Tensor]:
    masked = len(to.tops) > 1
    if to.p.global_pooling and not masked:
        return to.op("GlobalMaxPool", x)
    padded, pads = _fitted(to, x, w, _LOWEST)
    if not masked:
        return to.op("MaxPool", padded, **_geometry(w, pads))
    if padded is not x:
        raise to.refuse("its mask has windows without any element")
    y, index = to.ops("MaxPool", 2, x, **_geometry(w, pads))
    plane = np.array(int(np.prod(w.sizes)), np.int64)  # ONNX counts through all planes, Caffe in each
    return [y, to.cast(to.op("Mod", index, plane), "float32")]


def _average(to: Writer, x: Tensor, w: Windows) -> Tensor:
    """Caffe divides by the part of a window inside the padded image, ONNX by all of it or by none of the padding."""
    if to.p.global_pooling:
        return to.op("GlobalAveragePool", x)
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
    axes = list(zip(w.sizes, w.kernel, w.stride, w.pad, w.out, strict=True))
    ends = [max(0, (out - 1) * stride + kernel - size - pad) for size, kernel, stride, pad, out in axes]
    if all(end < kernel for end, kernel in zip(ends, w.kernel, strict=True)):
        return x, [*w.pad, *ends]
    return to.op("Pad", x, (0, 0, *w.pad, 0, 0, *ends), value), [0] * (2 * len(ends))


def _geometry(w: Windows, pads: list[int]) -> dict[str, list[int]]:
    return {"kernel_shape": list(w.kernel), "strides": list(w.stride), "pads": pads}
