"""A layer's own array body on the device: the reference for every faster kernel there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from caffelite.cuda.device import Device
from caffelite.cuda.params import device_gradient, device_param
from caffelite.params import Param
from caffelite.plan.kernel import ArrayKernel, Site


class DeviceKernel(ArrayKernel):
    """The array body on CuPy, with the parameters' copies on the device."""

    name = "cupy"

    def __init__(self, site: Site, device: Device):
        super().__init__(site, device.xp)
        self._device = device

    def bind(
        self, arrays: Mapping[str, Any], params: Mapping[str, Param], rng: Callable[[], np.random.Generator]
    ) -> None:
        super().bind(arrays, params, rng)
        self._values_of = {name: device_param(param, self._device) for name, param in params.items()}
        self._gradients_of = {name: device_gradient(param, self._device) for name, param in params.items()}

    def forward(self) -> None:
        self._call(self.layer.forward, self._forward_names)  # type: ignore[attr-defined]
        for spec in self.layer.params:
            if not spec.learnable:  # statistics, which forward may have written
                self._values_of[spec.name].wrote()

    def _data(self, name: str) -> Any:
        return self._values_of[name].read().reshape(self.params[name].shape)

    def _gradient(self, name: str) -> Any:
        if not self.site.learn.get(name, True):
            return None
        return self._gradients_of[name].to_add().reshape(self.params[name].shape)
