"""What Convolution and Deconvolution share: parameters, checks, and the arithmetic for any array module.

    N, C, O   items, channels of the larger side (a convolution's x), channels of the smaller side (its y)
    S, T      spatial sizes of the larger and the smaller side
    K, G      positions of the kernel, groups

The arithmetic gathers the patches under each kernel position into a matrix and leaves the rest to one matrix
product a group (Chellapilla et al., "High performance convolutional neural networks for document processing",
2006). Patches keep channels last, so channels-last arrays are copied in long runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape

_CHUNK_ELEMENTS = 1 << 22  # patches gathered at a time: 16 MiB in float32, whatever the batch


@dataclass(frozen=True)
class Geometry:
    """Where a kernel lands. Tuples have one entry a spatial axis; ``axis`` is the channel axis."""

    axis: int
    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape
    group: int = 1

    @property
    def extent(self) -> Shape:
        """Sizes of the kernel with its holes."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def smaller(self, sizes: Shape) -> Shape:
        """Sizes of a convolution's output; below 1 where the kernel does not fit."""
        axes = zip(sizes, self.extent, self.stride, self.pad, strict=True)
        return tuple((size + 2 * pad - extent) // stride + 1 for size, extent, stride, pad in axes)

    def larger(self, sizes: Shape) -> Shape:
        """Sizes of a deconvolution's output; below 1 where padding eats all of it."""
        axes = zip(sizes, self.extent, self.stride, self.pad, strict=True)
        return tuple(stride * (size - 1) + extent - 2 * pad for size, extent, stride, pad in axes)


def read_geometry(layer: Layer, ndim: int, group: int = 1) -> Geometry:
    """The geometry in ``convolution_param`` for a bottom with ``ndim`` axes. Raises NetError."""
    axis = layer.axis(layer.p.axis, ndim)
    spatial = ndim - axis - 1
    return Geometry(
        axis,
        kernel=read_sizes(layer, "kernel_size", spatial, low=1),
        stride=read_sizes(layer, "stride", spatial, low=1, default=1),
        pad=read_sizes(layer, "pad", spatial, low=0, default=0),
        dilation=read_sizes(layer, "dilation", spatial, low=1, default=1),
        group=group,
    )


def read_sizes(layer: Layer, field: str, spatial: int, low: int, default: int | None = None) -> Shape:
    """One size a spatial axis, from the repeated field or from its _h and _w form. Raises NetError."""
    values = _pair(layer, field, spatial) or tuple(getattr(layer.p, field))
    if not values and (default is not None or not spatial):
        values = (default or 0,)
    if len(values) not in (1, spatial):
        raise layer.error(
            f"{field} once or once for each of {spatial} spatial axes", f"{len(values)} values", field=field
        )
    if spatial and min(values) < low:
        raise layer.error(f"{field} >= {low}", _text(values), field=field)
    return values * spatial if len(values) == 1 else values


def _pair(layer: Layer, field: str, spatial: int) -> Shape:
    p, stem = layer.p, field.removesuffix("_size")
    names = [f"{stem}_{side}" for side in "hw" if f"{stem}_{side}" in p.DESCRIPTOR.fields_by_name]
    if not any(p.HasField(name) for name in names):
        return ()
    if spatial != 2:
        raise layer.error(
            f"{stem}_h and {stem}_w only with 2 spatial axes", spatial, f"use {field}", names[0]
        )
    if getattr(p, field):
        raise layer.error(f"either {field} or {stem}_h and {stem}_w", "both", field=field)
    return tuple(getattr(p, name) for name in names)


class ConvolutionBase(Layer):
    """Bottoms of one shape, each filtered with the same weights."""

    bottoms: ClassVar[tuple[str, ...]] = ("x*",)
    tops: ClassVar[tuple[str, ...]] = ("y*",)
    message: ClassVar[str] = "convolution_param"
    paired: ClassVar[bool] = True
    extensions: ClassVar[tuple[str, ...]] = ("dilation_h", "dilation_w")

    geometry: Geometry
    outputs: int  # channels of a top

    def setup(self) -> None:
        self._check_outputs()
        if self.p.group < 1:
            raise self.error("group >= 1", self.p.group, field="group")

    def _check_outputs(self) -> None:
        if self.p.num_output < 1:
            raise self.error(
                "num_output >= 1", self.p.num_output, "set convolution_param.num_output", "num_output"
            )

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        self.outputs, group = self._counts(x[self.axis(self.p.axis, len(x))])
        self.geometry = g = read_geometry(self, len(x), group)
        self._check(shapes, x[g.axis])
        sizes = self._top_sizes(x[g.axis + 1 :])
        self.param("W", (*self._channels(x[g.axis]), *g.kernel), self.filler("weight_filler"))
        if self.p.bias_term:
            self.param("b", (self.outputs,), self.filler("bias_filler"))
        else:
            self.no_param("b")
        return [(*x[: g.axis], self.outputs, *sizes)] * len(shapes)

    def forward(self, xp: Any, x: Any, y: Any, W: Any, b: Any) -> None:
        for xi, yi in zip(x, y, strict=True):
            self._forward(xp, xi, W, yi)
            if b is not None:
                yi += b.reshape(-1, *(1,) * len(self.geometry.kernel))

    def backward(self, xp: Any, x: Any, W: Any, dy: Any, dx: Any, dW: Any, db: Any) -> None:
        for xi, dyi, dxi in zip(x, dy, dx, strict=True):
            if dyi is not None:
                self._backward(xp, xi, W, dyi, dxi, dW)
                if db is not None:
                    db += dyi.sum(axis=tuple(axis for axis in range(dyi.ndim) if axis != self.geometry.axis))
            elif dxi is not None:
                dxi[...] = 0

    def _forward(self, xp: Any, x: Any, W: Any, y: Any) -> None:
        raise NotImplementedError

    def _backward(self, xp: Any, x: Any, W: Any, dy: Any, dx: Any, dW: Any) -> None:
        raise NotImplementedError

    def _counts(self, channels: int) -> tuple[int, int]:
        """Channels of a top, and groups, for a bottom with so many channels."""
        return self.p.num_output, self.p.group

    def _channels(self, channels: int) -> Shape:
        raise NotImplementedError

    def _top_sizes(self, sizes: Shape) -> Shape:
        raise NotImplementedError

    def _check(self, shapes: Sequence[Shape], channels: int) -> None:
        group, num_output = self.geometry.group, self.outputs
        for i, shape in enumerate(shapes):
            if shape != shapes[0]:
                raise self.shape_error(
                    "bottoms of one shape, since they share weights", f"x[0]={shapes[0]}, x[{i}]={shape}"
                )
        if channels < 1 or channels % group:
            raise self.shape_error(
                f"channels in multiples of group {group}", f"x={shapes[0]} with {channels} channels"
            )
        if num_output % group:
            raise self.error(f"num_output in multiples of group {group}", num_output, field="num_output")

    def fits(self, top: Shape, sizes: Shape) -> Shape:
        """The top's sizes. Raises ShapeError if one is not positive."""
        return require_fit(self, self.geometry, top, sizes)


def require_fit(layer: Layer, g: Geometry, top: Shape, sizes: Shape) -> Shape:
    """The sizes that a kernel gives from ``sizes``. Raises ShapeError if one is not positive."""
    if min(top, default=1) < 1:
        got = f"kernel {_text(g.kernel)}, dilation {_text(g.dilation)}"
        got += f", pad {_text(g.pad)}, stride {_text(g.stride)}"
        raise layer.shape_error(
            f"a kernel that fits the padded {_text(sizes)} input",
            f"{got}, which gives an output of {_text(top)}",
            "use a smaller kernel_size or a larger pad or image",
        )
    return top


def _text(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


# -- arithmetic -----------------------------------------------------------------------------------------


def correlate(xp: Any, x: Any, W: Any, g: Geometry, y: Any) -> None:
    """Convolution: y (*N, O, *T) from x (*N, C, *S) and W (O, C/G, *K)."""
    x, out = _items(x, g), _Out(xp, y, g)
    weights = _matrix(W, g).swapaxes(1, 2)
    for part in _parts(x, g, out.array.shape[2:]):
        rows = xp.matmul(_patches(xp, x[part], g, out.array.shape[2:]), weights)
        out.array[part] = _from_rows(rows, out.array[part].shape)
    out.close()


def correlate_data(xp: Any, dy: Any, W: Any, g: Geometry, dx: Any) -> None:
    """Gradient of ``correlate`` to its input, and so a deconvolution of dy: overwrites dx."""
    dy, out = _items(dy, g), _Out(xp, dx, g)
    shape, sizes = out.array.shape, dy.shape[2:]
    rows, weights = _to_rows(dy, g), _matrix(W, g)
    padded = xp.zeros(_padded_shape(shape, g), dy.dtype)
    depth = shape[1] // g.group
    grouped = padded.reshape(*padded.shape[:-1], g.group, depth)
    for i, position in enumerate(product(*map(range, g.kernel))):
        share = xp.matmul(rows, weights[:, :, i * depth : (i + 1) * depth])
        share = share.reshape(g.group, shape[0], *sizes, depth)
        grouped[_under(position, g, sizes)] += xp.moveaxis(share, 0, -2)
    out.array[...] = xp.moveaxis(padded[_inside(shape, g)], -1, 1)
    out.close()


def correlate_weights(xp: Any, x: Any, dy: Any, g: Geometry, dW: Any) -> None:
    """Gradient of ``correlate`` to its weights: adds to dW (O, C/G, *K)."""
    x, dy = _items(x, g), _items(dy, g)
    last = (dW.shape[0], *dW.shape[2:], dW.shape[1])  # (O, *K, C/G), as patches are
    for part in _parts(x, g, dy.shape[2:]):
        rows = _to_rows(dy[part], g).swapaxes(1, 2)
        dW += xp.moveaxis(xp.matmul(rows, _patches(xp, x[part], g, dy.shape[2:])).reshape(last), -1, 1)


class _Out:
    """The array to write seen as (N, channels, *sizes); through a copy where that is not a view."""

    def __init__(self, xp: Any, target: Any, g: Geometry):
        self.target = target
        self.array = target if g.axis == 1 else xp.empty(_items(target, g).shape, target.dtype)

    def close(self) -> None:
        if self.array is not self.target:
            self.target[...] = self.array.reshape(self.target.shape)


def _items(array: Any, g: Geometry) -> Any:
    return array if g.axis == 1 else array.reshape(prod(array.shape[: g.axis]), *array.shape[g.axis :])


def _parts(larger: Any, g: Geometry, sizes: Shape) -> Iterator[slice]:
    items, channels = larger.shape[:2]
    step = max(1, _CHUNK_ELEMENTS // max(1, channels * prod(g.kernel) * prod(sizes)))
    return (slice(start, min(start + step, items)) for start in range(0, items, step))


def _matrix(W: Any, g: Geometry) -> Any:
    """W (O, C/G, *K) -> (G, O/G, K * C/G)."""
    last = W.reshape(W.shape[0], W.shape[1], -1).swapaxes(1, 2)
    return last.reshape(g.group, W.shape[0] // g.group, -1)


def _to_rows(y: Any, g: Geometry) -> Any:
    """y (N, O, *T) -> (G, N * T, O/G)."""
    items, channels = y.shape[:2]
    grouped = y.reshape(items, g.group, channels // g.group, prod(y.shape[2:]))
    return grouped.transpose(1, 0, 3, 2).reshape(g.group, -1, channels // g.group)


def _from_rows(rows: Any, shape: Shape) -> Any:
    """rows (G, N * T, O/G) -> (N, O, *T), a view where it can be."""
    items, channels, *sizes = shape
    return rows.transpose(1, 0, 2).reshape(items, prod(sizes), channels).swapaxes(1, 2).reshape(shape)


def _patches(xp: Any, x: Any, g: Geometry, sizes: Shape) -> Any:
    """x (N, C, *S) -> (G, N * T, K * C/G), what each kernel position sees for each output position."""
    items, channels = x.shape[:2]
    padded = _padded(xp, x, g)
    item, *steps, step = padded.strides
    starts = [size * stride for size, stride in zip(steps, g.stride, strict=True)]
    holes = [size * dilation for size, dilation in zip(steps, g.dilation, strict=True)]
    depth = channels // g.group
    view = xp.lib.stride_tricks.as_strided(
        padded,
        (g.group, items, *sizes, *g.kernel, depth),
        (depth * step, item, *starts, *holes, step),
    )
    return view.reshape(g.group, items * prod(sizes), prod(g.kernel) * depth)


def _padded(xp: Any, x: Any, g: Geometry) -> Any:
    """x (N, C, *S) -> (N, *S + 2 pad, C) in C order."""
    last = xp.moveaxis(x, 1, -1)
    if not any(g.pad):
        return xp.ascontiguousarray(last)
    padded = xp.zeros(_padded_shape(x.shape, g), x.dtype)
    padded[_inside(x.shape, g)] = last
    return padded


def _padded_shape(shape: Shape, g: Geometry) -> Shape:
    sizes = [size + 2 * pad for size, pad in zip(shape[2:], g.pad, strict=True)]
    return (shape[0], *sizes, shape[1])


def _inside(shape: Shape, g: Geometry) -> tuple[slice, ...]:
    return (slice(None), *(slice(pad, pad + size) for size, pad in zip(shape[2:], g.pad, strict=True)))


def _under(position: Sequence[int], g: Geometry, sizes: Shape) -> tuple[slice, ...]:
    """The elements of a padded array that lie under one kernel position, for all output positions."""
    axes = zip(position, g.dilation, g.stride, sizes, strict=True)
    return (slice(None), *(slice(k * hole, k * hole + step * (n - 1) + 1, step) for k, hole, step, n in axes))
