"""The CUDA engine. float32 throughout; 4-D activations are channels-last in the GPU's memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import Any

from caffelite.cuda.array import DeviceKernel
from caffelite.cuda.capture import CapturedPass
from caffelite.cuda.device import Device
from caffelite.cuda.host import HostKernel
from caffelite.layers.base import measures
from caffelite.params import Array
from caffelite.plan.kernel import Kernel, Site, kernels_in

_kernels = cache(partial(kernels_in, "caffelite.cuda"))


class CudaEngine:
    """Kernels of our own, the layers' array bodies where there is none, and the host for bodies that need NumPy."""

    name: str = "cuda"
    dtype: str = "float32"
    channels_last = True
    remote = True

    def __init__(self, device: Device, precision: str = "float32"):
        self.device, self.precision = device, precision
        self.xp: Any = device.xp

    def kernels(self, type_: str) -> Sequence[type[Kernel]]:
        return _kernels(type_)

    def absent(self, type_: str) -> str:
        return ""

    def make_kernel(self, cls: Any, site: Site) -> Kernel:
        if cls is not None:
            kernel: Kernel = cls(site, self.device)
            return kernel
        on_host = site.layer.host or measures(site.layer)
        return (HostKernel if on_host else DeviceKernel)(site, self.device)

    def compute(self) -> AbstractContextManager[Any]:
        return self.device.using()

    def empty(self, nbytes: int) -> Array:
        memory: Array = self.device.zeros(nbytes)
        return memory

    def to_host(self, array: Array) -> Array:
        return self.device.to_host(array)

    def put(self, target: Array, values: Array) -> None:
        self.device.put(target, values)

    def memory_limit(self) -> int:
        return self.device.memory

    def compile(self, calls: Sequence[Callable[[], None]]) -> Callable[[], None]:
        return CapturedPass(calls, self.device)

    def synchronize(self) -> None:
        self.device.synchronize()
