"""Every oneDNN primitive that caffelite uses, as one function each that gives its :class:`PrimitiveDesc`.

Descriptors made with ``MemoryDesc.any`` leave the layout to oneDNN; ask ``desc(Query...)`` for the choice.
Dilations count as in Caffe, from 1. All raise OneDNNError, with status UNIMPLEMENTED where there is no such
kernel. A backward function takes the forward descriptor as ``hint``; both must describe the same memories.
"""

from __future__ import annotations

import ctypes as c
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from caffelite.cpu.onednn import Attributes, MemoryDesc, PrimitiveDesc, dims
from caffelite.cpu.onednn_library import Handle, library
from caffelite.cpu.onednn_types import Algorithm, Normalization, Prop


@dataclass(frozen=True)
class Window:
    """How a kernel slides over the spatial axes; one number an axis. ``after``: padding at the far end."""

    kernel: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    before: Sequence[int]
    after: Sequence[int]

    def _convolution(self) -> tuple[object, ...]:
        from_zero = [dilation - 1 for dilation in self.dilations]
        return dims(self.strides), dims(from_zero), dims(self.before), dims(self.after)

    def _pooling(self) -> tuple[object, ...]:
        from_zero = [dilation - 1 for dilation in self.dilations]
        return dims(self.strides), dims(self.kernel), dims(from_zero), dims(self.before), dims(self.after)


def _of(desc: MemoryDesc | None) -> Handle | None:
    return desc.handle if desc is not None else None


@lru_cache(maxsize=1)
def _plain() -> Attributes:
    return Attributes()


def _attributes(attributes: Attributes | None) -> Handle:
    return (attributes or _plain()).handle


def _prop(training: bool) -> Prop:
    return Prop.TRAINING if training else Prop.INFERENCE


def convolution(
    src: MemoryDesc,
    weights: MemoryDesc,
    bias: MemoryDesc | None,
    dst: MemoryDesc,
    window: Window,
    training: bool,
    attributes: Attributes | None = None,
    transposed: bool = False,
) -> PrimitiveDesc:
    """Convolution; ``transposed`` makes it a deconvolution. Weights (O, I, *K), grouped (G, O/G, I/G, *K)."""
    algorithm = Algorithm.DECONVOLUTION_DIRECT if transposed else Algorithm.CONVOLUTION_DIRECT
    return PrimitiveDesc(
        f"{'de' if transposed else ''}convolution_forward",
        *(library().engine, _prop(training), algorithm),
        *(src.handle, weights.handle, _of(bias), dst.handle),
        *(*window._convolution(), _attributes(attributes)),
    )


def convolution_data(
    diff_src: MemoryDesc,
    weights: MemoryDesc,
    diff_dst: MemoryDesc,
    window: Window,
    hint: PrimitiveDesc,
    attributes: Attributes | None = None,
) -> PrimitiveDesc:
    """Gradient of :func:`convolution` (of a deconvolution, if ``hint`` is one) with respect to its input."""
    transposed = hint.name.startswith("de")
    algorithm = Algorithm.DECONVOLUTION_DIRECT if transposed else Algorithm.CONVOLUTION_DIRECT
    return PrimitiveDesc(
        f"{'de' if transposed else ''}convolution_backward_data",
        *(library().engine, algorithm, diff_src.handle, weights.handle, diff_dst.handle),
        *(*window._convolution(), hint.handle, _attributes(attributes)),
    )


def convolution_weights(
    src: MemoryDesc,
    diff_weights: MemoryDesc,
    diff_bias: MemoryDesc | None,
    diff_dst: MemoryDesc,
    window: Window,
    hint: PrimitiveDesc,
    attributes: Attributes | None = None,
) -> PrimitiveDesc:
    """Gradient of :func:`convolution` with respect to weights and bias; it overwrites, never adds."""
    transposed = hint.name.startswith("de")
    algorithm = Algorithm.DECONVOLUTION_DIRECT if transposed else Algorithm.CONVOLUTION_DIRECT
    return PrimitiveDesc(
        f"{'de' if transposed else ''}convolution_backward_weights",
        *(library().engine, algorithm, src.handle, diff_weights.handle, _of(diff_bias), diff_dst.handle),
        *(*window._convolution(), hint.handle, _attributes(attributes)),
    )


def inner_product(
    src: MemoryDesc,
    weights: MemoryDesc,
    bias: MemoryDesc | None,
    dst: MemoryDesc,
    training: bool,
    attributes: Attributes | None = None,
) -> PrimitiveDesc:
    """y (N, M) = x (N, *S) W^T (M, *S) + b (M,)."""
    return PrimitiveDesc(
        "inner_product_forward",
        *(library().engine, _prop(training), src.handle, weights.handle, _of(bias), dst.handle),
        _attributes(attributes),
    )


def pooling(
    algorithm: Algorithm,
    src: MemoryDesc,
    dst: MemoryDesc,
    window: Window,
    training: bool,
    attributes: Attributes | None = None,
) -> PrimitiveDesc:
    """Pooling; max pooling in training writes a workspace that its backward reads."""
    return PrimitiveDesc(
        "pooling_forward",
        *(library().engine, _prop(training), algorithm, src.handle, dst.handle),
        *(*window._pooling(), _attributes(attributes)),
    )


def pooling_backward(
    algorithm: Algorithm, diff_src: MemoryDesc, diff_dst: MemoryDesc, window: Window, hint: PrimitiveDesc
) -> PrimitiveDesc:
    """Gradient of :func:`pooling`."""
    return PrimitiveDesc(
        "pooling_backward",
        *(library().engine, algorithm, diff_src.handle, diff_dst.handle),
        *(*window._pooling(), hint.handle, _attributes(None)),
    )


def lrn(
    algorithm: Algorithm,
    src: MemoryDesc,
    dst: MemoryDesc,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    training: bool,
) -> PrimitiveDesc:
    """y = x (k + alpha / n * sum of x^2 over the window)^-beta, n the number of elements in the window."""
    return PrimitiveDesc(
        "lrn_forward",
        *(library().engine, _prop(training), algorithm, src.handle, dst.handle, size, alpha, beta, k),
        _attributes(None),
    )


def lrn_backward(
    algorithm: Algorithm,
    diff_src: MemoryDesc,
    diff_dst: MemoryDesc,
    src: MemoryDesc,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    hint: PrimitiveDesc,
) -> PrimitiveDesc:
    """Gradient of :func:`lrn`."""
    return PrimitiveDesc(
        "lrn_backward",
        *(library().engine, algorithm, diff_src.handle, diff_dst.handle, src.handle, size, alpha, beta, k),
        *(hint.handle, _attributes(None)),
    )


def batch_normalization(
    src: MemoryDesc, dst: MemoryDesc, epsilon: float, flags: Normalization, training: bool
) -> PrimitiveDesc:
    """y = (x - mean) / sqrt(variance + epsilon), per channel, with the biased variance."""
    return PrimitiveDesc(
        "batch_normalization_forward",
        *(library().engine, _prop(training), src.handle, dst.handle, epsilon, flags, _attributes(None)),
    )


def batch_normalization_backward(
    prop: Prop,
    diff_src: MemoryDesc,
    diff_dst: MemoryDesc,
    src: MemoryDesc,
    epsilon: float,
    flags: Normalization,
    hint: PrimitiveDesc,
) -> PrimitiveDesc:
    """Gradient of :func:`batch_normalization`; BACKWARD asks for those of scale and shift as well."""
    return PrimitiveDesc(
        "batch_normalization_backward",
        *(library().engine, prop, diff_src.handle, diff_dst.handle, src.handle, epsilon, flags, hint.handle),
        _attributes(None),
    )


def eltwise(
    algorithm: Algorithm, src: MemoryDesc, dst: MemoryDesc, alpha: float, beta: float, training: bool
) -> PrimitiveDesc:
    """A function of each element."""
    return PrimitiveDesc(
        "eltwise_forward",
        *(
            library().engine,
            _prop(training),
            algorithm,
            src.handle,
            dst.handle,
            alpha,
            beta,
            _attributes(None),
        ),
    )


def eltwise_backward(
    algorithm: Algorithm,
    diff_src: MemoryDesc,
    diff_dst: MemoryDesc,
    data: MemoryDesc,
    alpha: float,
    beta: float,
    hint: PrimitiveDesc,
) -> PrimitiveDesc:
    """Gradient of :func:`eltwise`; ``data`` is the input, for the ``..._FROM_DST`` algorithms the output."""
    return PrimitiveDesc(
        "eltwise_backward",
        *(library().engine, algorithm, diff_src.handle, diff_dst.handle, data.handle, alpha, beta),
        *(hint.handle, _attributes(None)),
    )


def softmax(src: MemoryDesc, dst: MemoryDesc, axis: int, training: bool) -> PrimitiveDesc:
    """exp(x - max) / sum over one axis."""
    return PrimitiveDesc(
        "softmax_forward",
        *(
            library().engine,
            _prop(training),
            Algorithm.SOFTMAX,
            src.handle,
            dst.handle,
            axis,
            _attributes(None),
        ),
    )


def softmax_backward(
    diff_src: MemoryDesc, diff_dst: MemoryDesc, dst: MemoryDesc, axis: int, hint: PrimitiveDesc
) -> PrimitiveDesc:
    """Gradient of :func:`softmax` from its output."""
    return PrimitiveDesc(
        "softmax_backward",
        *(library().engine, Algorithm.SOFTMAX, diff_src.handle, diff_dst.handle, dst.handle, axis),
        *(hint.handle, _attributes(None)),
    )


def binary(
    algorithm: Algorithm,
    src: MemoryDesc,
    src_1: MemoryDesc,
    dst: MemoryDesc,
    attributes: Attributes | None = None,
) -> PrimitiveDesc:
    """Two memories, element by element; ``src_1`` is broadcast where its extent is 1."""
    return PrimitiveDesc(
        "binary", library().engine, algorithm, src.handle, src_1.handle, dst.handle, _attributes(attributes)
    )


def matmul(
    src: MemoryDesc,
    weights: MemoryDesc,
    bias: MemoryDesc | None,
    dst: MemoryDesc,
    attributes: Attributes | None = None,
) -> PrimitiveDesc:
    """(..., M, K) @ (..., K, N) + bias, whose shape broadcasts against the result."""
    return PrimitiveDesc(
        "matmul", library().engine, src.handle, weights.handle, _of(bias), dst.handle, _attributes(attributes)
    )


def reorder(src: MemoryDesc, dst: MemoryDesc, attributes: Attributes | None = None) -> PrimitiveDesc:
    """A copy into another layout or element type; with ``add_sum`` in the attributes it accumulates."""
    engine = library().engine
    return PrimitiveDesc("reorder", src.handle, engine, dst.handle, engine, _attributes(attributes))


def concat(sources: Sequence[MemoryDesc], dst: MemoryDesc, axis: int) -> PrimitiveDesc:
    """Sources one after the other along an axis; memories ``Arg.MULTIPLE_SRC + i``."""
    handles = (Handle * len(sources))(*(source.handle for source in sources))
    return PrimitiveDesc(
        "concat", library().engine, dst.handle, len(sources), axis, handles, _attributes(None)
    )


def weighted_sum(sources: Sequence[MemoryDesc], dst: MemoryDesc, scales: Sequence[float]) -> PrimitiveDesc:
    """sum_i scales[i] * source_i; memories ``Arg.MULTIPLE_SRC + i``."""
    handles = (Handle * len(sources))(*(source.handle for source in sources))
    factors = (c.c_float * len(scales))(*scales)
    return PrimitiveDesc(
        "sum", library().engine, dst.handle, len(sources), factors, handles, _attributes(None)
    )
