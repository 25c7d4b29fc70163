"""Convolutions as products with patches: rows of the patches' matrix are places of the smaller side.

    larger    (N, C, H, W), in any order: a convolution's x, a deconvolution's y
    smaller   (N, O, OH, OW), channels-last: a convolution's y, a deconvolution's x
    W         (O, C / group, KH, KW), packed as (O, KH, KW, C / group)

Patches are made for as many items at a time as fit into LIMIT. A 1 x 1 kernel needs none where C is innermost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from caffelite.cuda.gemm import Matrix
from caffelite.cuda.kernel import Call
from caffelite.cuda.products import ProductKernel
from caffelite.cuda.scratch import scratch
from caffelite.layers._convolution import Geometry
from caffelite.plan.kernel import MIXED, Operand, is_channels_last

LIMIT = 32 << 20  # elements of the patches' matrix: 128 MiB


class Patches:
    """The products of one convolution; ``kernel`` launches them."""

    def __init__(self, kernel: ProductKernel, geometry: Geometry, larger: Operand, smaller: Operand):
        self.kernel, self.geometry, self.larger, self.smaller = kernel, geometry, larger, smaller
        self.items, self.channels = larger.shape[:2]
        self.outputs, self.group = smaller.shape[1], geometry.group
        self.places = smaller.shape[2] * smaller.shape[3]
        self.inner = self.channels // self.group
        self.positions = geometry.kernel[0] * geometry.kernel[1]
        self.width = self.positions * self.inner  # columns of the patches of a group
        self.direct = self._is_direct()

    def _is_direct(self) -> bool:
        """Whether the larger side's memory is the matrix of its patches."""
        g = self.geometry
        plain = self.positions == 1 and set(g.stride) == {1} and not any(g.pad)
        return plain and is_channels_last(self.larger)

    @property
    def order(self) -> tuple[int, int, int]:
        """Outputs, channels of a group, and positions of the weights."""
        return self.outputs, self.inner, self.positions

    # -- the three passes -------------------------------------------------------------------------------

    def correlate(self, larger: Any, W: Any, smaller: Any, bias: Any = None) -> list[Call]:
        """smaller = W applied to larger, plus a bias for each of its channels."""
        calls: list[Call] = []
        for first, count, g in self._parts():
            patches = self._gathered(calls, larger, first, count, g)
            target, start = self._rows(smaller, first, count, g), g * self.outputs // self.group
            weights = self._weights(W, g).T
            calls.append(self.kernel.product(patches, weights, target, bias=bias, bias_offset=start))
        return calls

    def data(self, smaller: Any, W: Any, larger: Any) -> list[Call]:
        """larger = the gradient of ``correlate`` to its larger side, or a deconvolution."""
        calls: list[Call] = []
        for first, count, g in self._parts():
            patches = self._patches(larger, first, count, g)
            calls.append(
                self.kernel.product(self._rows(smaller, first, count, g), self._weights(W, g), patches)
            )
            if not self.direct:
                calls.append(self._launch("col2im", patches.array, larger, first, g, count * self._image))
        return calls

    def weight_products(self, larger: Any, smaller: Any) -> Callable[[Any, bool], list[Call]]:
        """What lists the calls for dW, the gradient of ``correlate`` to W, packed; they add if told to."""
        return partial(self._weight_products, larger, smaller)

    def _weight_products(self, larger: Any, smaller: Any, dW: Any, add: bool) -> list[Call]:
        calls: list[Call] = []
        for first, count, g in self._parts():
            patches = self._gathered(calls, larger, first, count, g)
            rows = self._rows(smaller, first, count, g).T
            calls.append(self.kernel.product(rows, patches, self._weights(dW, g), add=add or first > 0))
        return calls

    # -- matrices ---------------------------------------------------------------------------------------

    def _parts(self) -> Iterator[tuple[int, int, int]]:
        """First item, items and group of each product."""
        step = self.items if self.direct else max(1, LIMIT // (self.places * self.width))
        for first in range(0, self.items, step):
            for g in range(self.group):
                yield first, min(step, self.items - first), g

    @property
    def _image(self) -> int:
        """Elements of a group of an item of the larger side."""
        return self.inner * self.larger.shape[2] * self.larger.shape[3]

    def _gathered(self, calls: list[Call], larger: Any, first: int, count: int, g: int) -> Matrix:
        patches = self._patches(larger, first, count, g)
        if not self.direct:
            size = patches.rows * patches.cols
            calls.append(self._launch("im2col", larger, patches.array, first, g, size))
        return patches

    def _patches(self, larger: Any, first: int, count: int, g: int) -> Matrix:
        rows = count * self.places
        if self.direct:
            offset = first * self.places * self.channels + g * self.inner
            return Matrix(larger, rows, self.inner, self.channels, offset)
        return Matrix(scratch(self.kernel.device, "patches", rows * self.width), rows, self.width)

    def _rows(self, smaller: Any, first: int, count: int, g: int) -> Matrix:
        mine = self.outputs // self.group
        offset = first * self.places * self.outputs + g * mine
        return Matrix(smaller, count * self.places, mine, self.outputs, offset)

    def _weights(self, W: Any, g: int) -> Matrix:
        mine = self.outputs // self.group
        return Matrix(W, mine, self.width, offset=g * mine * self.width)

    def _launch(self, name: str, source: Any, target: Any, first: int, g: int, n: int) -> Call:
        p, strides = self.geometry, self.larger.strides
        offset = first * strides[0] + g * self.inner * strides[1]
        sizes = (
            self.inner, *self.larger.shape[2:], *self.smaller.shape[2:], *p.kernel, *p.stride, *p.pad, *p.dilation,
        )  # fmt: skip
        window = (*map(np.int32, sizes), *map(np.int64, strides))
        return self.kernel.each(name, n, source, target, np.int64(offset), *window)


def objection(geometry: Geometry, smaller: Operand) -> str:
    """Why a convolution cannot be computed so; empty if it can."""
    if len(smaller.shape) != 4 or geometry.axis != 1:
        return "not 2 spatial axes behind axis 1"
    return "" if is_channels_last(smaller) else "a blob in C order"


def unmixed(text: str) -> str:
    """Objections but that blobs differ in order: patches are read and written through strides."""
    return "" if text == MIXED else text
