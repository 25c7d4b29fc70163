"""What all kernels of our own share: launches that are made when arrays are bound, and the parameters' copies.

Sources are the ``.cu`` files beside this module, each compiled behind ``common.cuh`` when one of its kernels is first
bound. A launch holds pointers, so a pass is a list of calls without arguments, as on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from caffelite.cuda.device import Device
from caffelite.cuda.params import DeviceGradient, DeviceParam, device_gradient, device_param
from caffelite.params import Param
from caffelite.plan.kernel import MIXED, Kernel, Site, common_layout, operands_of
from caffelite.types import count

THREADS = 256
MOST_BLOCKS = 4096  # kernels stride over what is left; enough to fill any GPU several times

Call = Callable[[], object]


class CudaKernel(Kernel):
    """A kernel whose passes are lists of launches."""

    name = "cuda"
    source: ClassVar[str]  # the .cu file's name

    layer: Any

    def __init__(self, site: Site, device: Device):
        super().__init__(site)
        self.device = device
        self._forward: list[Call] = []
        self._backward: list[Call] = []

    @classmethod
    def refuses(cls, site: Site) -> str:
        if any(operand.dtype != "float32" for operand in operands_of(site.operands)):
            return "its arrays are not float32"
        if any(not count(operand.shape) for operand in operands_of(site.operands)):
            return "an empty blob"
        return "" if common_layout(site) else MIXED

    def compile_forward(self) -> list[Call]:
        """The launches of a forward pass; arrays and parameters are bound."""
        raise NotImplementedError

    def compile_backward(self) -> list[Call]:
        """The launches of a backward pass."""
        raise NotImplementedError

    def bind(
        self, arrays: Mapping[str, Any], params: Mapping[str, Param], rng: Callable[[], np.random.Generator]
    ) -> None:
        super().bind(arrays, params, rng)
        self.values = {name: device_param(param, self.device) for name, param in params.items()}
        self.gradients = {name: device_gradient(param, self.device) for name, param in params.items()}
        self._forward = self.compile_forward()

    def bind_backward(self, arrays: Mapping[str, Any]) -> None:
        super().bind_backward(arrays)
        self._backward = self.compile_backward()

    def refresh(self) -> None:
        """Brings the copies of the parameters up to date."""
        for value in self.values.values():
            value.read()

    def forward(self) -> None:
        self.refresh()
        for call in self._forward:
            call()

    def backward(self) -> None:
        self.refresh()
        for call in self._backward:
            call()

    # -- for subclasses ---------------------------------------------------------------------------------

    def each(self, name: str, n: int, *arguments: Any) -> Call:
        """A launch of a kernel that strides over ``n`` elements; ``n`` is its last argument."""
        blocks = min(-(-n // THREADS), MOST_BLOCKS)
        return self.launch(name, blocks, THREADS, *arguments, np.int64(n))

    def launch(self, name: str, blocks: int, threads: int, *arguments: Any) -> Call:
        """A launch. Arguments are arrays of the device, None (a null pointer), and NumPy scalars of the kernel's types."""
        function = self.device.function(read_source(self.source), name)
        return lambda: function(blocks, threads, arguments)

    def value(self, name: str) -> Any:
        """The copy of a parameter on the device, flat; it stays where it is, and each pass brings it up to date."""
        return self.values[name].array

    def adding(self, name: str, launch: Callable[[Any, np.int32], Call]) -> Call:
        """A call that computes a parameter's gradient: ``launch(dW, add)`` makes it to overwrite dW or to add to it."""
        gradient = self.gradients[name]
        array = gradient.array
        calls = {add: launch(array, np.int32(add)) for add in (False, True)}
        return lambda: calls[gradient.to_write()[1]]()


@cache
def read_source(name: str) -> str:
    """The text of a ``.cu`` file behind ``common.cuh``."""
    folder = Path(__file__).parent
    return "\n".join((folder / file).read_text() for file in ("common.cuh", f"{name}.cu"))


def sources() -> list[str]:
    """The names of all ``.cu`` files."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.cu"))


__all__ = ["Call", "CudaKernel", "DeviceGradient", "DeviceParam", "read_source", "sources"]
