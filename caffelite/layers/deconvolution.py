"""Deconvolution."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from caffelite.layers._convolution import ConvolutionBase, correlate, correlate_data, correlate_weights
from caffelite.types import Shape, count


class Deconvolution(ConvolutionBase):
    """A convolution's gradient run as a layer: each x spreads W over y, overlaps add up.

    Upsampling by s: kernel 2s - s mod 2, stride s, pad ceil((s - 1) / 2), group = num_output = C,
    ``bias_term: false``, a bilinear filler. Output size: stride (S - 1) + dilation (K - 1) + 1 - 2 pad an
    axis.

    Bottoms: x (*N, C, *S), any number of one shape, filtered with the same weights. The channel axis is
             ``axis``.
    Tops:    y (*N, O, *T), one for each bottom; O = num_output.
    Params:  W (C, O/group, *K), b (O,) unless ``bias_term: false``.
    Raises:  ShapeError if nothing is left of the output or C is no multiple of group; NetError for bad
             parameters.
    Source:  BVLC Caffe, deconv_layer.cpp. Zeiler et al., "Deconvolutional networks", 2010.
    Example: x (1, 2, 3, 3); convolution_param { num_output: 2 group: 2 kernel_size: 4 stride: 2 pad: 1 }
    """

    def _channels(self, channels: int) -> Shape:
        return (channels, self.outputs // self.geometry.group)

    def _top_sizes(self, sizes: Shape) -> Shape:
        return self.fits(self.geometry.larger(sizes), sizes)

    def _forward(self, xp: Any, x: Any, W: Any, y: Any) -> None:
        correlate_data(xp, x, W, self.geometry, y)

    def _backward(self, xp: Any, x: Any, W: Any, dy: Any, dx: Any, dW: Any) -> None:
        if dx is not None:
            correlate(xp, dy, W, self.geometry, dx)
        if dW is not None:
            correlate_weights(xp, dy, x, self.geometry, dW)

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return sum(count(x) for x in bottoms) * prod(self.params[0].shape[1:])
