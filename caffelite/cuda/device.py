"""A GPU as the engine sees it: memory, copies and an array module. The only module that imports CuPy.

Tests put an emulated device in its place, which keeps CuPy's rules (no NumPy array where one of the device belongs).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from caffelite.cuda.cublaslt import WORKSPACE, CublasLt
from caffelite.cuda.gemm import Product
from caffelite.errors import DeviceError
from caffelite.params import Array

INSTALL = "pip install 'caffelite[cuda]' for drivers of CUDA 13, 'caffelite[cuda12]' for those of CUDA 12"
_WITHOUT = "leave the GPU out: the CPU engine trains and tests the same nets"


Function = Callable[[int, int, Sequence[Any]], None]
OPTIONS = ("-std=c++17",)  # for the compiler


class Device(Protocol):
    """What the engine needs of a GPU. Arrays of the device are opaque: only ``xp`` computes with them."""

    xp: Any  # NumPy's functions on arrays of the device
    name: str
    memory: int  # bytes

    def zeros(self, nbytes: int) -> Any:
        """Zeroed bytes. Raises MemoryError."""
        ...

    def to_host(self, array: Any) -> Array:
        """A copy in host memory."""
        ...

    def put(self, target: Any, values: Array) -> None:
        """Copies values from host memory into an array of the device, whatever its strides."""
        ...

    def function(self, source: str, name: str) -> Function:
        """A kernel of a CUDA source, compiled once: called with blocks, threads a block, and arguments."""
        ...

    def product(self, product: Product) -> Callable[[], object]:
        """A call that computes a product of matrices."""
        ...

    def capture(self, launch: Callable[[], None]) -> Callable[[], object]:
        """What replays the launches that ``launch`` makes, which are recorded and not run. Nothing else may be done there."""
        ...

    def synchronize(self) -> None:
        """Waits for all work on the device."""
        ...

    def versions(self) -> dict[str, str]:
        """Of the driver and the libraries."""
        ...

    def using(self) -> AbstractContextManager[Any]:
        """What work for the device runs inside."""
        ...


class CupyDevice:
    """A GPU through CuPy."""

    def __init__(self, cupy: Any, number: int):
        self.xp, self._device = cupy, cupy.cuda.Device(number)
        self._modules: dict[str, Any] = {}
        properties = cupy.cuda.runtime.getDeviceProperties(number)
        self.name: str = properties["name"].decode()
        self.memory: int = properties["totalGlobalMem"]

    @cached_property
    def _stream(self) -> Any:
        """Where all work goes: the default stream cannot be captured."""
        with self._device:
            return self.xp.cuda.Stream(non_blocking=True)

    def zeros(self, nbytes: int) -> Any:
        with self.using():
            return self.xp.zeros(nbytes, np.uint8)

    def to_host(self, array: Any) -> Array:
        with self.using():
            host: Array = self.xp.asnumpy(array)
        return host

    def put(self, target: Any, values: Array) -> None:
        with self.using():
            target[...] = self.xp.asarray(values)

    def function(self, source: str, name: str) -> Function:
        if source not in self._modules:
            self._modules[source] = self.xp.RawModule(code=source, options=OPTIONS)
        with self.using():  # a module is loaded to the device that is current then
            function = self._modules[source].get_function(name)
        return lambda blocks, threads, arguments: function((blocks,), (threads,), _passed(arguments))

    def product(self, product: Product) -> Callable[[], object]:
        with self.using():
            return self._products.prepare(product)

    @cached_property
    def _products(self) -> CublasLt:
        path = importlib.import_module("cuda.pathfinder").load_nvidia_dynamic_lib("cublasLt").abs_path
        return CublasLt(path, self.zeros(WORKSPACE), int(self._stream.ptr))

    def capture(self, launch: Callable[[], None]) -> Callable[[], object]:
        stream = self._stream
        with self.using():
            stream.begin_capture()
            try:
                launch()
            finally:
                graph = stream.end_capture()
            graph.upload(stream)
        return lambda: graph.launch(stream)

    def synchronize(self) -> None:
        self._device.synchronize()

    def versions(self) -> dict[str, str]:
        runtime = self.xp.cuda.runtime
        return {
            "cupy": self.xp.__version__,
            "driver": str(runtime.driverGetVersion()),
            "runtime": str(runtime.runtimeGetVersion()),
            "compute_capability": self._device.compute_capability,
        }

    def using(self) -> AbstractContextManager[Any]:
        return self._use()

    @contextmanager
    def _use(self) -> Iterator[None]:
        with self._device, self._stream:
            yield


def _passed(arguments: Sequence[Any]) -> tuple[Any, ...]:
    """Arguments as CuPy takes them: 0 for a null pointer."""
    return tuple(np.uintp(0) if argument is None else argument for argument in arguments)


def open_device(number: int = 0) -> Device:
    """The GPU of a number. Raises DeviceError that says which piece is missing: CuPy, a driver or the device."""
    cupy = _cupy(number)
    count = _count(cupy, number)
    if not 0 <= number < count:
        have = f"GPUs 0 to {count - 1}" if count > 1 else "GPU 0" if count else "none"
        raise _missing(
            number, f"this machine has {have}", "choose one of these with --gpu" if count else _WITHOUT
        )
    return CupyDevice(cupy, number)


def count_gpus() -> int:
    """How many GPUs there are, at least 1. Raises DeviceError without any, as ``open_device`` does."""
    cupy = _cupy(0)
    open_device(0)
    return _count(cupy, 0)


def _cupy(number: int) -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        if getattr(error, "name", "") == "cupy":
            raise _missing(number, "CuPy is not installed", f"{INSTALL}; or {_WITHOUT}") from None
        raise _missing(number, f"CuPy cannot be imported: {error}", INSTALL) from error


def _count(cupy: Any, number: int) -> int:
    try:
        return int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        if "NoDevice" in str(error):
            return 0
        fix = f"install NVIDIA's driver (nvidia-smi shows it), or {_WITHOUT}"
        raise _missing(
            number, f"CuPy {cupy.__version__} finds no NVIDIA driver that it can use ({error})", fix
        ) from error


def _missing(number: int, what: str, fix: str) -> DeviceError:
    return DeviceError(f"GPU {number}: {what}\n  Fix: {fix}")
