"""Convolution."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

from caffelite.layers._convolution import ConvolutionBase, correlate, correlate_data, correlate_weights
from caffelite.types import Shape, count


class Convolution(ConvolutionBase):
    """Filters each item: y[n, o] = sum over c of x[n, c] correlated with W[o, c], plus b[o].

    The kernel is not flipped. Output size: floor((S + 2 pad - (dilation (K - 1) + 1)) / stride) + 1 an axis.
    With ``relu: true`` (Intel's fork) y is ReLU of that, of slope ``negative_slope``.

    Bottoms: x (*N, C, *S), any number of one shape, filtered with the same weights. The channel axis is
             ``axis``.
    Tops:    y (*N, O, *T), one for each bottom; O = num_output.
    Params:  W (O, C/group, *K), b (O,) unless ``bias_term: false``.
    Raises:  ShapeError if the kernel does not fit or C is no multiple of group; NetError for bad parameters.
    Source:  BVLC Caffe, base_conv_layer.cpp. Intel's mkldnn_convolution_layer.cpp.
    Example: x (1, 3, 5, 5); convolution_param { num_output: 2 kernel_size: 3 pad: 1 }
    """

    extensions: ClassVar[tuple[str, ...]] = (*ConvolutionBase.extensions, "relu", "negative_slope")

    def setup(self) -> None:
        super().setup()
        self.slope = float(self.p.negative_slope)
        if self.p.relu:
            if self.slope < 0:
                raise self.error("negative_slope >= 0", f"{self.slope:g}", field="negative_slope")
            self.forward = self._forward_relu  # type: ignore[method-assign]
            self.backward = self._backward_relu  # type: ignore[method-assign,assignment]

    def _forward_relu(self, xp: Any, x: Any, y: Any, W: Any, b: Any) -> None:
        super().forward(xp, x, y, W, b)
        for yi in y:
            yi *= self._gate(xp, yi)

    def _backward_relu(self, xp: Any, x: Any, y: Any, W: Any, dy: Any, dx: Any, dW: Any, db: Any) -> None:
        gated = [None if dyi is None else dyi * self._gate(xp, yi) for yi, dyi in zip(y, dy, strict=True)]
        super().backward(xp, x, W, gated, dx, dW, db)

    def _gate(self, xp: Any, y: Any) -> Any:
        return xp.where(y > 0, 1, xp.asarray(self.slope, y.dtype))

    def _channels(self, channels: int) -> Shape:
        return (self.outputs, channels // self.geometry.group)

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
