"""Bias on the GPU."""

from __future__ import annotations

from typing import ClassVar

from caffelite.cuda.scale import CudaAffine


class CudaBias(CudaAffine):
    """y = x + b."""

    names: ClassVar[dict[str, str]] = {"b": "shift", "bias": "shift"}
    second = "bias"

    def reads(self) -> frozenset[str]:
        return frozenset()


KERNELS = (CudaBias,)
