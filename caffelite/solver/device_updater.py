"""Updates of parameters that live on a device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from caffelite.cuda.engine import CudaEngine
from caffelite.cuda.params import device_gradient, device_param
from caffelite.graph.graph import ParamUse
from caffelite.params import Array, Param
from caffelite.solver.rules.base import Rule
from caffelite.solver.updater import Blob, Updater


class DeviceUpdater(Updater):
    """An Updater whose weights, gradients and history stay on the device; snapshots fetch the history."""

    engine: CudaEngine

    def __init__(self, rule: Rule, p: Any, learnables: Sequence[tuple[ParamUse, Param]], engine: CudaEngine):
        self._device = engine.device
        super().__init__(rule, p, learnables, engine)
        self._values = [device_param(param, self._device) for param in self.params]
        self._gradients = [device_gradient(param, self._device) for param in self.params]

    def gradient_norm(self) -> float:
        with self.engine.compute():
            total: Any = 0.0
            for i, param in enumerate(self.params):
                if not param.grad_is_zero:
                    gradient = self._gradients[i].to_add()
                    total = total + (gradient * gradient).sum(dtype=np.float64)
            return math.sqrt(float(total))

    def apply(self, rate: float, iteration: int, scale: float = 1.0) -> None:
        lr = self.rule.rate(rate, iteration)
        with self.engine.compute():
            for i in range(len(self.params)):
                if not self._idle(i):
                    self._update(self._blob(i, lr), slice(None), scale)
                    self._values[i].wrote()
                    self._blank[i] = False

    def load_history(self, arrays: Sequence[Array]) -> None:
        count = len(self.params)
        for slot, mine in enumerate(self.history):
            for target, values in zip(mine, arrays[slot * count :], strict=False):
                self._device.put(target, values.reshape(-1))
        self._blank = [not any(np.any(values) for values in arrays[i::count]) for i in range(count)]

    def flat_history(self) -> list[Array]:
        return [
            self._device.to_host(array).reshape(param.shape)
            for slot in self.history
            for array, param in zip(slot, self.params, strict=True)
        ]

    def _zeros(self, param: Param) -> Array:
        flat: Array = self.engine.empty(max(1, param.size) * param.dtype.itemsize).view(param.dtype)
        return flat[: param.size]

    def _blob(self, i: int, lr: float) -> Blob:
        history = [slot[i] for slot in self.history]
        w, g = self._values[i].read(), self._gradients[i].to_add()
        return Blob(w, g, history, lr * self.uses[i].lr_mult, self._decay(i))

    def _scratch_like(self, g: Array) -> Array:
        scratch: Array = self.engine.xp.empty_like(g)
        return scratch
