"""A GPU that is none: NumPy under CuPy's rules, so that the CUDA engine runs where there is no GPU.

An array of the device refuses to meet a NumPy array or to become one by itself, and reductions give arrays, as CuPy's
do. What NumPy allows and CuPy does not would otherwise be noticed on a GPU only.
"""

from __future__ import annotations

import ctypes
import operator
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import numpy as np

from caffelite.cuda.engine import CudaEngine
from caffelite.cuda.gemm import Matrix, Product

from .shim import COMPILER, emulated_function

_METHODS = ["reshape", "transpose", "sum", "mean", "max", "min", "any", "all", "argmax", "argmin", "argsort", "astype", "copy", "view", "ravel", "cumsum", "dot", "take", "squeeze", "swapaxes", "nonzero", "clip", "prod", "std", "var", "round", "repeat", "diagonal"]  # fmt: skip
_BINARY = [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "and_",
    "or_",
    "xor",
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
    "matmul",
]
_HOST_IN = ("asarray", "array", "ascontiguousarray")  # functions that take NumPy arrays


class Recording:
    """Launches are run, or kept while a graph is captured. What else would happen then is an error, as on a GPU."""

    def __init__(self) -> None:
        self.kept: list[Any] | None = None

    def run(self, launch: Any) -> None:
        if self.kept is None:
            launch()
        else:
            self.kept.append(launch)

    def forbid(self, what: str) -> None:
        if self.kept is not None:
            raise RuntimeError(f"{what} while a graph is captured")


recording = Recording()


class DeviceArray:
    """An array that only functions of ``Xp`` and its own methods compute with."""

    __array_ufunc__ = None  # NumPy's operators leave the work to ours, which refuse
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray):
        self.host = host

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("an array of the device becomes no NumPy array by itself")

    def __getattr__(self, name: str) -> Any:
        if name in _METHODS:
            return _function(getattr(self.host, name))
        if name in ("shape", "dtype", "ndim", "size", "strides", "nbytes", "flags", "itemsize"):
            return getattr(self.host, name)
        raise AttributeError(f"the device's arrays have no '{name}'")

    @property
    def T(self) -> DeviceArray:
        return DeviceArray(self.host.T)

    def fill(self, value: Any) -> None:
        recording.run(lambda: self.host.fill(value))

    def tolist(self) -> Any:
        return self.host.tolist()

    def item(self, *at: Any) -> Any:
        return self.host.item(*at)

    def __getitem__(self, index: Any) -> DeviceArray:
        return _up(self.host[_index(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        at, source = _index(index), _scalar_or_array(value)
        recording.run(lambda: self.host.__setitem__(at, source))

    def __len__(self) -> int:
        return len(self.host)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __float__(self) -> float:
        recording.forbid("the host looked at a number")
        return float(self.host)

    def __int__(self) -> int:
        return int(self.host)

    def __bool__(self) -> bool:
        recording.forbid("the host looked at a number")
        return bool(self.host)

    def __index__(self) -> int:
        return operator.index(self.host)

    def __neg__(self) -> DeviceArray:
        return _up(-self.host)

    def __invert__(self) -> DeviceArray:
        return _up(~self.host)

    def __abs__(self) -> DeviceArray:
        return _up(abs(self.host))


def _add_operators() -> None:
    for name in _BINARY:
        plain, work = name.strip("_"), getattr(operator, name)

        def forward(self: Any, other: Any, work: Any = work) -> DeviceArray:
            return _up(work(self.host, _scalar_or_array(other)))

        def reflected(self: Any, other: Any, work: Any = work) -> DeviceArray:
            return _up(work(_scalar_or_array(other), self.host))

        setattr(DeviceArray, f"__{plain}__", forward)
        if name in ("lt", "le", "gt", "ge", "eq", "ne"):
            continue
        setattr(DeviceArray, f"__r{plain}__", reflected)
        inplace = getattr(operator, f"i{plain}")

        def update(self: Any, other: Any, inplace: Any = inplace) -> DeviceArray:
            inplace(self.host, _scalar_or_array(other))
            return self

        setattr(DeviceArray, f"__i{plain}__", update)


_add_operators()


class Xp:
    """NumPy's functions for arrays of the device, found by their names."""

    def __init__(self, module: ModuleType = np):
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if isinstance(found, ModuleType):
            return Xp(found)
        if isinstance(found, type) or not callable(found):
            return found
        work = _function(found, host_in=name in _HOST_IN)
        if isinstance(found, np.ufunc):
            work.at = _function(found.at)  # type: ignore[attr-defined]
        return work


def _function(found: Any, host_in: bool = False) -> Any:
    def work(*args: Any, **named: Any) -> Any:
        recording.forbid("an array body ran")
        take = _unwrapped_host if host_in else _unwrapped
        return _up(found(*map(take, args), **{key: take(value) for key, value in named.items()}))

    return work


def _unwrapped(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(map(_unwrapped, value))
    return _scalar_or_array(value)


def _unwrapped_host(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy(order="K")
    return _unwrapped(value)


def _scalar_or_array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        raise TypeError("a NumPy array where one of the device is needed")
    return value.host if isinstance(value, DeviceArray) else value


def _index(index: Any) -> Any:
    return tuple(map(_scalar_or_array, index)) if isinstance(index, tuple) else _scalar_or_array(index)


def _up(result: Any) -> Any:
    if isinstance(result, (tuple, list)):
        return type(result)(map(_up, result))
    return DeviceArray(np.asarray(result)) if isinstance(result, (np.ndarray, np.generic)) else result


def _multiply(product: Product) -> None:
    a, b, c = (_matrix(matrix) for matrix in (product.a, product.b, product.c))
    result = a @ b
    if product.add:
        result += c
    if product.bias is not None:
        columns = c.shape[1]
        result += product.bias.host.reshape(-1)[product.bias_offset : product.bias_offset + columns]
    c[...] = result


def _matrix(matrix: Matrix) -> np.ndarray:
    """The memory of a matrix, found by its address as a library finds it."""
    size = matrix.offset + (matrix.rows - 1) * matrix.pitch + matrix.cols
    host = matrix.array.host
    assert host.dtype == np.float32 and size <= host.size, (
        f"{matrix.shape} lies outside of {host.size} numbers"
    )
    flat = np.ctypeslib.as_array((ctypes.c_float * size).from_address(host.ctypes.data))
    rows = np.lib.stride_tricks.as_strided(
        flat[matrix.offset :], (matrix.rows, matrix.cols), (4 * matrix.pitch, 4)
    )
    return rows.T if matrix.transposed else rows


class EmulatedDevice:
    """What the engine needs of a GPU, in this process."""

    name, memory = "emulated", 1 << 33

    def __init__(self) -> None:
        self.xp = Xp()

    def capture(self, launch: Any) -> Any:
        recording.kept = kept = []
        try:
            launch()
        finally:
            recording.kept = None
        return lambda: [one() for one in kept]

    def zeros(self, nbytes: int) -> DeviceArray:
        recording.forbid("memory was asked for")
        return DeviceArray(np.zeros(nbytes, np.uint8))

    def to_host(self, array: DeviceArray) -> np.ndarray:
        recording.forbid("the host looked at an array")
        return array.host.copy(order="K")

    def put(self, target: DeviceArray, values: np.ndarray) -> None:
        recording.forbid("the host wrote an array")
        target.host[...] = values

    def function(self, source: str, name: str) -> Any:
        run = emulated_function(source, name)
        return lambda *launch: recording.run(lambda: run(*launch))

    def product(self, product: Product) -> Any:
        return lambda: recording.run(lambda: _multiply(product))

    def synchronize(self) -> None:
        """Everything is done."""

    def versions(self) -> dict[str, str]:
        return {}

    def using(self) -> Any:
        return nullcontext()


class _BodiesOnly(CudaEngine):
    """Where there is no compiler to emulate kernels with."""

    def kernels(self, type_: str) -> tuple[()]:
        return ()


def emulated_engine() -> CudaEngine:
    """The CUDA engine on an emulated device, with kernels of our own if g++ can compile them."""
    return (CudaEngine if COMPILER else _BodiesOnly)(EmulatedDevice())
