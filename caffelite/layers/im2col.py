"""Im2col."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any, ClassVar

from caffelite.layers._convolution import Geometry, read_geometry, require_fit
from caffelite.layers.base import Layer
from caffelite.types import Shape

Index = tuple[slice, ...]


class Im2col(Layer):
    """The patches that a convolution sees, as channels: channel c K + k of y is channel c of x under the kernel's place k.

    Places count in C order, and where the kernel overlaps the padding y is 0. Output sizes as in Convolution;
    ``group`` and ``num_output`` mean nothing here, and ``force_nd_im2col`` changes nothing.

    Bottoms: x (*N, C, *S). The channel axis is ``axis`` (1), with at least one axis after it.
    Tops:    y (*N, C K, *T), K places in a kernel.
    Raises:  ShapeError if the kernel does not fit; NetError for bad parameters.
    Example: x (1, 2, 5, 5); convolution_param { kernel_size: 3 stride: 2 }
    Source:  BVLC Caffe, im2col_layer.cpp.
    """

    message: ClassVar[str] = "convolution_param"

    geometry: Geometry

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        self.geometry = g = read_geometry(self, len(x))
        if not g.kernel:
            raise self.shape_error(f"at least 1 axis after the channel axis {g.axis}", f"x={x}")
        sizes = x[g.axis + 1 :]
        self.out = require_fit(self, g, g.smaller(sizes), sizes)
        return [(*x[: g.axis], x[g.axis] * prod(g.kernel), *self.out)]

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        padded = xp.zeros_like(x, shape=self._padded_shape(x.shape))
        padded[self._inside(x.shape)] = x
        for under, channels in self._places():
            y[channels] = padded[under]

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        padded = xp.zeros_like(dx, shape=self._padded_shape(dx.shape))
        for under, channels in self._places():
            padded[under] += dy[channels]
        dx[...] = padded[self._inside(dx.shape)]

    def _places(self) -> Iterator[tuple[Index, Index]]:
        """For each place of the kernel: the elements of the padded x under it, and the channels of y that take them."""
        g, lead = self.geometry, (slice(None),) * self.geometry.axis
        for k, place in enumerate(product(*map(range, g.kernel))):
            axes = zip(place, g.dilation, g.stride, self.out, strict=True)
            under = (slice(at * hole, at * hole + step * (n - 1) + 1, step) for at, hole, step, n in axes)
            yield (*lead, slice(None), *under), (*lead, slice(k, None, prod(g.kernel)))

    def _padded_shape(self, shape: Shape) -> Shape:
        first = self.geometry.axis + 1
        sizes = zip(shape[first:], self.geometry.pad, strict=True)
        return (*shape[:first], *(size + 2 * pad for size, pad in sizes))

    def _inside(self, shape: Shape) -> Index:
        first = self.geometry.axis + 1
        sizes = zip(shape[first:], self.geometry.pad, strict=True)
        return (*(slice(None),) * first, *(slice(pad, pad + size) for size, pad in sizes))
