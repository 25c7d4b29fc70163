"""Layers that compute on the host: those that read data, users' Python layers, and bodies that need NumPy.

Their bottoms come down before a pass and what they wrote goes up after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from caffelite.cuda.device import Device
from caffelite.layers.base import plain
from caffelite.params import Array, Param
from caffelite.plan.kernel import ArrayKernel, Site
from caffelite.types import Shape


class HostKernel(ArrayKernel):
    """The array body on NumPy, on copies of the device's arrays."""

    name = "host"

    def __init__(self, site: Site, device: Device):
        super().__init__(site, np)
        self._device = device
        self._bottoms = [plain(name) for name in self.layer.bottoms]
        self._tops = [plain(name) for name in self.layer.tops]
        self._saved = [spec.name for spec in self.layer.saved]

    def note(self) -> str:
        return "NumPy on the host, its blobs are copied there and back"

    def bind(
        self, arrays: Mapping[str, Any], params: Mapping[str, Param], rng: Callable[[], np.random.Generator]
    ) -> None:
        self._there = arrays
        super().bind({name: self._like(array) for name, array in arrays.items()}, params, rng)

    def bind_backward(self, arrays: Mapping[str, Any]) -> None:
        known = dict(self.arrays)  # whose contents forward has left for backward
        self._there = arrays
        super().bind_backward(
            {name: known[name] if name in known else self._like(a) for name, a in arrays.items()}
        )

    def measure(self) -> list[Shape]:
        self._down(self._bottoms)
        return super().measure()

    def forward(self) -> None:
        self._down(self._bottoms)
        super().forward()
        self._up([*self._tops, *self._saved])

    def backward(self) -> None:
        self._down([*self._bottoms, *self._tops, *self._saved, *(f"d{name}" for name in self._tops)])
        super().backward()
        self._up([f"d{name}" for name in self._bottoms])

    def _down(self, names: Iterable[str]) -> None:
        for here, there in self._pairs(names):
            here[...] = self._device.to_host(there)

    def _up(self, names: Iterable[str]) -> None:
        for here, there in self._pairs(names):
            self._device.put(there, here)

    def _pairs(self, names: Iterable[str]) -> Iterable[tuple[Array, Any]]:
        for name in names:
            here: Any = self.arrays.get(name)
            there: Any = self._there.get(name)
            if isinstance(here, list):
                yield from ((h, t) for h, t in zip(here, there, strict=True) if h is not None)
            elif here is not None:
                yield here, there

    def _like(self, array: Any) -> Any:
        """Memory of the host for an array of the device, or for a list of them."""
        if isinstance(array, list):
            return [self._like(one) for one in array]
        return None if array is None else np.zeros(array.shape, array.dtype)
