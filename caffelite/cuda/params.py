"""Parameters in two places: the host's masters, and their copies on the device. Whoever reads gets the newest numbers.

Values are copied to the device when their stamp has moved (somebody on the host may have written), and back when the
host looks at them after the device has written. A gradient belongs to whoever touched it last.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from caffelite.cuda.device import Device
from caffelite.params import Array, Param


class DeviceParam:
    """The values of a parameter on a device, flat; one for all nets and plans that share them."""

    def __init__(self, param: Param, device: Device):
        self._param, self._device, self.version = param, device, -1  # the stamp that the array has
        self.array = _flat(param, device)

    def read(self) -> Any:
        """The values on the device, as new as the host's."""
        stamp = self._param.stamp()
        if stamp != self.version:
            self._device.put(self.array, self._param.data.reshape(-1))
            self.version = stamp
        return self.array

    def wrote(self) -> None:
        """Says that work on the device has written the values: the host fetches them when it looks."""
        self._param.written_away(self._fetch)
        self.version = self._param.stamp()

    def _fetch(self, target: Array) -> None:
        target[...] = self._device.to_host(self.array)


class DeviceGradient:
    """The gradient of a parameter on a device, flat."""

    def __init__(self, param: Param, device: Device):
        self._param, self._device = param, device
        self.array = _flat(param, device)

    def to_write(self) -> tuple[Any, bool]:
        """The memory on the device and whether to add to it (True) or to overwrite all of it (False)."""
        add = not self._param.grad_is_zero
        if add and not self._param.grad_is_away:
            self._device.put(self.array, self._param.grad.reshape(-1))
        self._param.grad_written_away(self._fetch)
        return self.array, add

    def to_add(self) -> Any:
        """The memory on the device with its zeros written out."""
        values, add = self.to_write()
        if not add:
            values[...] = 0
        return values

    def _fetch(self, target: Array) -> None:
        target[...] = self._device.to_host(self.array)


_values: WeakKeyDictionary[Any, WeakValueDictionary[int, DeviceParam]] = WeakKeyDictionary()
_gradients: WeakKeyDictionary[Any, WeakValueDictionary[int, DeviceGradient]] = WeakKeyDictionary()


def device_param(param: Param, device: Device) -> DeviceParam:
    """The copy of a parameter's values on a device, which all kernels share."""
    known = _values.setdefault(device, WeakValueDictionary())
    if (found := known.get(param.identity)) is None:
        found = known[param.identity] = DeviceParam(param, device)
    return found


def device_gradient(param: Param, device: Device) -> DeviceGradient:
    """The same for its gradient."""
    known = _gradients.setdefault(device, WeakValueDictionary())
    if (found := known.get(param.grad_identity)) is None:
        found = known[param.grad_identity] = DeviceGradient(param, device)
    return found


def _flat(param: Param, device: Device) -> Any:
    count, dtype = param.size, param.dtype
    return device.zeros(max(1, count) * dtype.itemsize).view(dtype)[:count]
