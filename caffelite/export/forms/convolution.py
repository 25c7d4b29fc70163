"""Convolution, Deconvolution and what is a convolution in disguise."""

from __future__ import annotations

from math import prod

import numpy as np

from caffelite.export.forms import form
from caffelite.export.forms.activations import relu
from caffelite.export.tensors import Array, Tensor
from caffelite.export.writer import Writer


@form("Convolution", "DepthwiseConvolution", "ConvolutionDepthwise")
def convolution(to: Writer, x: list[Tensor], W: Array, b: Array | None) -> list[Tensor]:
    y = [_filtered(to, "Conv", xi, W, b) for xi in x]
    return [relu(to, yi) for yi in y] if to.p.relu else y


@form("Deconvolution")
def deconvolution(to: Writer, x: list[Tensor], W: Array, b: Array | None) -> list[Tensor]:
    return [_filtered(to, "ConvTranspose", xi, W, b) for xi in x]


@form("Im2col")
def im2col(to: Writer, x: Tensor) -> Tensor:
    """A convolution whose kernels each pick one place: output channel c K + k is place k of channel c."""
    g = to.layer.geometry
    channels, places = x.known[g.axis], prod(g.kernel)
    picks = np.eye(places, dtype=np.float32).reshape(places, 1, *g.kernel)
    picks = np.tile(picks, (channels, *(1,) * (picks.ndim - 1)))
    return _filtered(to, "Conv", x, picks, None, group=channels)


def _filtered(to: Writer, op: str, x: Tensor, W: Array, b: Array | None, group: int | None = None) -> Tensor:
    """One Conv or ConvTranspose. ONNX wants one axis before the channels and at least one behind them."""
    g = to.layer.geometry
    spatial = x.known[g.axis + 1 :]
    attributes = {
        "kernel_shape": list(g.kernel),
        "strides": list(g.stride),
        "dilations": list(g.dilation),
        "pads": [*g.pad, *g.pad],
    }
    if not spatial:
        W = W.reshape(*W.shape, 1)
        attributes = {"kernel_shape": [1]}
    plain = g.axis == 1 and bool(spatial)
    items = x if plain else to.reshape(x, (-1, *x.dims[g.axis :], *(() if spatial else (1,))))
    y = to.op(op, items, W, b, group=group or g.group, **attributes)
    return y if plain else to.like_top(y)
