"""DepthwiseConvolution through oneDNN: a grouped convolution."""

from __future__ import annotations

from caffelite.cpu.convolution import KERNELS

__all__ = ["KERNELS"]
