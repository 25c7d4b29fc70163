"""The engine that has no kernels of its own, so that every layer runs its array body."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from caffelite.params import Array
from caffelite.plan.kernel import HostEngine, Kernel
from caffelite.storage import aligned_zeros, memory_limit


class ReferenceEngine(HostEngine):
    """Slow and plain: what the fast engines are compared with."""

    name: str = "reference"
    channels_last = False

    def __init__(self, precision: str = "float32"):
        self.precision = self.dtype = precision

    def kernels(self, type_: str) -> Sequence[type[Kernel]]:
        return ()

    def absent(self, type_: str) -> str:
        return ""

    def compute(self) -> AbstractContextManager[None]:
        return nullcontext()

    def empty(self, nbytes: int) -> Array:
        return aligned_zeros(nbytes)

    def memory_limit(self) -> int:
        return memory_limit()
