"""Sigmoid on the GPU."""

from __future__ import annotations

from caffelite.cuda.activation import CudaActivation


class CudaSigmoid(CudaActivation):
    """1/(1+exp(-x)); the gradient reads y."""

    function = "sigmoid"


KERNELS = (CudaSigmoid,)
