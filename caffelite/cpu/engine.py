"""The CPU engine. Kernels of a layer live in the file of the layer's name; it ends with ``KERNELS = (...)``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache, partial

from caffelite.cpu import onednn, threads
from caffelite.params import Array
from caffelite.plan.kernel import HostEngine, Kernel, kernels_in
from caffelite.storage import aligned_zeros, memory_limit


class CpuEngine(HostEngine):
    """float32 storage; precision ``bf16`` lets oneDNN multiply in bfloat16 and add in float32."""

    name: str = "cpu"
    dtype: str = "float32"
    channels_last = True

    def __init__(self, precision: str = "float32"):
        self.precision = precision

    def kernels(self, type_: str) -> Sequence[type[Kernel]]:
        return () if onednn.available() is not None else _kernels(type_)

    def absent(self, type_: str) -> str:
        if not _kernels(type_):
            return ""
        return f"not onednn: {onednn.available()}"

    def compute(self) -> AbstractContextManager[None]:
        return threads.compute()

    def empty(self, nbytes: int) -> Array:
        return aligned_zeros(nbytes)

    def memory_limit(self) -> int:
        return memory_limit()


_kernels = cache(partial(kernels_in, "caffelite.cpu"))
