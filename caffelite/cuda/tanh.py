"""TanH on the GPU."""

from __future__ import annotations

from caffelite.cuda.activation import CudaActivation


class CudaTanH(CudaActivation):
    """tanh(x); the gradient reads y."""

    function = "tanh"


KERNELS = (CudaTanH,)
