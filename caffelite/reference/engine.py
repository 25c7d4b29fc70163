"""The engine that has no kernels of its own, so that every layer runs its array body."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from caffelite.params import Array
from caffelite.plan.kernel import Kernel
from caffelite.storage import aligned_zeros


class ReferenceEngine:
    """Slow and plain: what the fast engines are compared with."""

    name: str = "reference"
    xp: Any = np
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
