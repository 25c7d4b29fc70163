"""Kernels of an engine with memory of its own, run on arrays of this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from caffelite.layers.base import SavedSpec
from caffelite.params import Array, Param
from caffelite.plan.kernel import Engine, Kernel
from caffelite.types import Shape


class Remote(Kernel):
    """Around a kernel: all arrays go to the engine's memory before a pass, and all come back after it."""

    def __init__(self, kernel: Kernel, engine: Engine):
        super().__init__(kernel.site)
        self.kernel, self.engine = kernel, engine
        self.name, self.inplace = kernel.name, kernel.inplace  # type: ignore[misc]
        if hasattr(kernel, "backward"):
            self.backward = self._backward

    def reads(self) -> frozenset[str]:
        return self.kernel.reads()

    def saved(self) -> Sequence[SavedSpec]:
        return self.kernel.saved()

    def bind(
        self, arrays: Mapping[str, Any], params: Mapping[str, Param], rng: Callable[[], np.random.Generator]
    ) -> None:
        self._there: dict[int, tuple[Array, Array]] = {}  # arrays that are one here are one there
        self.kernel.bind({name: self._sent(array) for name, array in arrays.items()}, params, rng)

    def bind_backward(self, arrays: Mapping[str, Any]) -> None:
        self.kernel.bind_backward({name: self._sent(array) for name, array in arrays.items()})

    def forward(self) -> None:
        self._run(self.kernel.forward)

    def measure(self) -> list[Shape]:
        return self.kernel.measure()

    def _backward(self) -> None:
        self._run(self.kernel.backward)  # type: ignore[attr-defined]

    def _run(self, work: Callable[[], None]) -> None:
        for here, there in self._there.values():
            self.engine.put(there, here)
        work()
        for here, there in self._there.values():
            here[...] = self.engine.to_host(there)

    def _sent(self, array: Any) -> Any:
        if isinstance(array, list):
            return [self._sent(one) for one in array]
        if array is None:
            return None
        if id(array) not in self._there:
            self._there[id(array)] = array, self._like(array)
        return self._there[id(array)][1]

    def _like(self, array: Array) -> Array:
        """Memory of the engine with an array's shape and order of axes."""
        order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
        shape = tuple(array.shape[axis] for axis in order)
        raw = self.engine.empty(max(1, array.size) * array.itemsize).view(array.dtype)[: array.size]
        back = [order.index(axis) for axis in range(array.ndim)]
        return raw.reshape(shape).transpose(back)
