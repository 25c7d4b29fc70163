"""ReLU on the GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffelite.cuda.activation import CudaActivation


class CudaReLU(CudaActivation):
    """max(x, 0) + negative_slope min(x, 0). A negative slope hides x's sign in y: the gradient reads x."""

    function = "relu"

    def constants(self) -> tuple[Any, ...]:
        return (np.float32(self.layer.slope),)

    def reads(self) -> frozenset[str]:
        return frozenset(["y" if self.layer.slope >= 0 else "x"])


KERNELS = (CudaReLU,)
