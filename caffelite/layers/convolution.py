"""Convolution."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from caffelite.layers._convolution import ConvolutionBase, correlate, correlate_data, correlate_weights
from caffelite.types import Shape, count


class Convolution(ConvolutionBase):
    """Filters each item: y[n, o] = sum over c of x[n, c] correlated with W[o, c], plus b[o].

    The kernel is not flipped. Output size: floor((S + 2 pad - (dilation (K - 1) + 1)) / stride) + 1 an axis.

    Bottoms: x (*N, C, *S), any number of one shape, filtered with the same weights. The channel axis is
             ``axis``.
    Tops:    y (*N, O, *T), one for each bottom; O = num_output.
    Params:  W (O, C/group, *K), b (O,) unless ``bias_term: false``.
    Raises:  ShapeError if the kernel does not fit or C is no multiple of group; NetError for bad parameters.
    Source:  BVLC Caffe, base_conv_layer.cpp.
    """

    def _channels(self, channels: int) -> Shape:
        return (self.p.num_output, channels // self.p.group)

    def _top_sizes(self, sizes: Shape) -> Shape:
        return self.fits(self.geometry.smaller(sizes), sizes)

    def _forward(self, xp: Any, x: Any, W: Any, y: Any) -> None:
        correlate(xp, x, W, self.geometry, y)

    def _backward(self, xp: Any, x: Any, W: Any, dy: Any, dx: Any, dW: Any) -> None:
        if dx is not None:
            correlate_data(xp, dy, W, self.geometry, dx)
        if dW is not None:
            correlate_weights(xp, x, dy, self.geometry, dW)

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return sum(count(y) for y in tops) * prod(self.params[0].shape[1:])
