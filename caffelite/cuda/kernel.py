"""What all kernels of our own share: launches that are made when arrays are bound, and the parameters' copies.

Sources are the ``.cu`` files beside this module, each compiled behind ``common.cuh`` when one of its kernels is first
bound. A launch holds pointers, so a pass is a list of calls without arguments, as on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
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
        self._learned: list[str] = []  # parameters whose gradients the backward pass writes
        self._adds: dict[str, bool] = {}  # whether it adds to them in the pass at hand
        self._bound_times = 0

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
        self._bound_times += 1

    def bind_backward(self, arrays: Mapping[str, Any]) -> None:
        super().bind_backward(arrays)
        self._learned = []
        self._backward = self.compile_backward()
        self._bound_times += 1

    def refresh(self) -> None:
        """Brings the copies of the parameters up to date."""
        for value in self.values.values():
            value.read()

    def forward(self) -> None:
        self.before(False)
        self.launch_all(False)
        self.after(False)

    def backward(self) -> None:
        self.before(True)
        self.launch_all(True)
        self.after(True)

    def before(self, backward: bool) -> Hashable:
        """What the host does before the launches of a pass. Passes that launch the same give the same value."""
        self.refresh()
        if backward:
            self._adds = {name: self.gradients[name].to_write()[1] for name in self._learned}
        return self._bound_times, *(self._adds.items() if backward else ())

    def launch_all(self, backward: bool) -> None:
        """The launches of a pass, and nothing else: they may be captured in a CUDA graph."""
        for call in self._backward if backward else self._forward:
            call()

    def after(self, backward: bool) -> None:
        """What the host does after them."""

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
        """A call that computes a parameter's gradient: ``launch(dW, add)`` makes it to overwrite dW or to add to it.

        The second such call of a pass for one parameter adds to what the first has left.
        """
        array = self.gradients[name].array
        add = launch(array, np.int32(1))
        if name in self._learned:
            return add
        self._learned.append(name)
        overwrite = launch(array, np.int32(0))
        return lambda: (add if self._adds[name] else overwrite)()


@cache
def read_source(name: str) -> str:
    """The text of a ``.cu`` file behind ``common.cuh``."""
    folder = Path(__file__).parent
    return "\n".join((folder / file).read_text() for file in ("common.cuh", f"{name}.cu"))


def sources() -> list[str]:
    """The names of all ``.cu`` files."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.cu"))


__all__ = ["Call", "CudaKernel", "DeviceGradient", "DeviceParam", "read_source", "sources"]
