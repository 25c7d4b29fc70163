"""What layers share that are matrix products: products, weights in another order, sums of columns.

Weights (O, I, S) are packed as (O, S, I) where blobs are channels-last; one packed copy serves all plans and nets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from caffelite.cuda.gemm import Matrix, Product
from caffelite.cuda.kernel import Call, CudaKernel
from caffelite.cuda.params import DeviceParam
from caffelite.cuda.scratch import scratch

_CHUNKS = 512  # parts in which the rows of a matrix are summed


class ProductKernel(CudaKernel):
    """A kernel with products."""

    source = "patches"

    def product(self, a: Matrix, b: Matrix, c: Matrix, **more: Any) -> Call:
        """c = a b; see :class:`Product`."""
        return self.device.product(Product(a, b, c, **more))

    def packed(self, name: str, O: int, I: int, S: int) -> Any:  # noqa: E741
        """A parameter (O, I, S) as (O, S, I), kept up to date; itself where both orders are one."""
        if I == 1 or S == 1:
            return self.value(name)
        key = id(self.device), self.params[name].identity, I, S
        found = _packed.get(key)
        if found is None:
            found = _packed[key] = _Packed(self, name, I, S)
        self.packs.append(found)
        return found.array

    def bind(self, *arguments: Any) -> None:
        self.packs: list[_Packed] = []
        super().bind(*arguments)

    def refresh(self) -> None:
        super().refresh()
        for pack in self.packs:
            pack.refresh()

    def clear(self, array: Any) -> Call:
        """A call that writes zeros."""
        return lambda: array.fill(0)

    def weight_gradient(self, name: str, make: Any, I: int, S: int) -> Call:  # noqa: E741
        """Calls that compute the gradient of a parameter (O, I, S): ``make(array, add)`` lists them for (O, S, I)."""
        if I == 1 or S == 1:
            return self.adding(name, lambda array, add: sequence(make(array, bool(add))))
        size = self.params[name].size
        part = scratch(self.device, "weights", size)
        calls = make(part, False)
        sizes = np.int32(I), np.int32(S)
        calls.append(
            self.adding(name, lambda array, add: self.each("unpack", size, part, array, add, *sizes))
        )
        return sequence(calls)

    def bias_gradient(self, name: str, dy: Any, rows: int, columns: int) -> Call:
        """A call that adds the sums of the columns of dy (rows, columns) to a parameter's gradient."""
        chunk = max(16, -(-rows // _CHUNKS))
        chunks = -(-rows // chunk)
        partial = scratch(self.device, "columns", chunks * columns)
        sizes = np.int32(columns), np.int64(rows), np.int64(chunk)
        first = self.each("column_sums", chunks * columns, dy, partial, *sizes)
        last = self.adding(
            name, lambda array, add: self.each("add_partials", columns, partial, array, add, np.int64(chunks))
        )
        return sequence([first, last])


class _Packed:
    """A parameter in another order, made anew when it has changed."""

    def __init__(self, kernel: ProductKernel, name: str, I: int, S: int):  # noqa: E741
        self._value: DeviceParam = kernel.values[name]
        self._version = -1
        size = kernel.params[name].size
        self.array = kernel.device.zeros(4 * size).view("float32")
        self._pack = kernel.each("pack", size, self._value.array, self.array, np.int32(I), np.int32(S))

    def refresh(self) -> None:
        if self._version != self._value.version:
            self._pack()
            self._version = self._value.version


_packed: WeakValueDictionary[tuple[int, ...], _Packed] = WeakValueDictionary()


def sequence(calls: Sequence[Call]) -> Call:
    """One call for several."""
    if len(calls) == 1:
        return calls[0]

    def run() -> None:
        for call in calls:
            call()

    return run
