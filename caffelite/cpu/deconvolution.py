"""Deconvolution through oneDNN."""

from __future__ import annotations

from typing import ClassVar

from caffelite.cpu.convolution import OneDnnConvolution


class OneDnnDeconvolution(OneDnnConvolution):
    """Convolution's kernel with the roles of x and y exchanged."""

    transposed: ClassVar[bool] = True


KERNELS = (OneDnnDeconvolution,)
