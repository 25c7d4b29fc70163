"""InnerProduct through oneDNN's matrix products, on the weights as they are: in float32 nothing is packed.

Measured for W (4096, 9216), batch 32, 2 threads: products with the plain, transposed weight take 31-44 ms,
with a packed one 32-40 ms, and packing takes 40 ms. The gradient goes straight into the parameter. An x that
is channels-last is copied to C order, in which Caffe flattens it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import ClassVar

from caffelite.cpu import onednn_primitives as primitives
from caffelite.cpu.kernel import (
    ACTIVATIONS,
    Call,
    DirectGradient,
    OneDnnKernel,
    PackedParam,
    copy,
    layer_of,
    packed_param,
    post_attributes,
    without_kernel,
)
from caffelite.cpu.onednn import Array, Attributes, Memory, MemoryDesc, PrimitiveDesc
from caffelite.cpu.onednn_types import Arg, DataType, Query
from caffelite.layers.base import Layer, SavedSpec
from caffelite.params import Param
from caffelite.plan.kernel import Site, is_plain
from caffelite.types import count


class OneDnnInnerProduct(OneDnnKernel):
    """y (N, M) = x (N, K) W^T + b; N are the axes before ``axis``, K those from it on."""

    posts: ClassVar[tuple[str, ...]] = ACTIVATIONS

    def __init__(self, site: Site):
        super().__init__(site)
        layer, x = layer_of(site), site.one("x")
        p = layer.p
        self.outputs = p.num_output
        self.inputs = prod(layer.params[0].shape) // self.outputs
        self.rows = count(x.shape) // self.inputs
        self.dtype = DataType.BF16 if site.precision == "bf16" else DataType.F32
        stored = self._matrix(self.inputs, self.outputs) if p.transpose else None
        self._W = stored or MemoryDesc.of((self.inputs, self.outputs), strides=(1, self.inputs))  # (K, M)
        self._staged = not is_plain(x) or self.dtype is not DataType.F32

    @classmethod
    def refuses(cls, site: Site) -> str:
        if objection := super().refuses(site):
            return objection
        if not is_plain(site.one("y")):
            return "y is not in C order"
        kernel = cls(site)
        products: list[Callable[[], PrimitiveDesc]] = [partial(kernel._product, False, Attributes())]
        products += [kernel._data_product] if site.backward and any(site.propagate) else []
        products += [kernel._weights_product] if site.learn.get("W", False) else []
        return next(filter(None, map(without_kernel, products)), "")

    def note(self) -> str:
        return "copies x" if self._staged else ""

    def saved(self) -> Sequence[SavedSpec]:
        dtype = "float" if self.dtype is DataType.F32 else "uint16"
        return [SavedSpec("staged", (self.rows * self.inputs,), dtype)] if self._staged else []

    def reads(self) -> frozenset[str]:
        if not self.site.learn.get("W", False):
            return frozenset()
        return frozenset(["staged" if self._staged else "x"])

    # -- forward ----------------------------------------------------------------------------------------

    def compile_forward(self, post: Layer | None) -> list[Call]:
        x, stage = self._x()
        b = None if "b" in self.layer.absent else self.params["b"]
        desc = self._product(b is not None, post_attributes(post))
        W = self._packed(self._W, desc)
        memories = {Arg.SRC: x, Arg.WEIGHTS: W.memory, Arg.DST: self._whole("y", self.outputs)}
        if b is not None:
            memories[Arg.BIAS] = Memory(MemoryDesc.of(b.shape), b.data)
        return [*stage, W.refresh, desc.bind(memories, self.scratch).run]

    def _product(self, bias: bool, attributes: Attributes) -> PrimitiveDesc:
        x, y = self._matrix(self.rows, self.inputs, self.dtype), self._matrix(self.rows, self.outputs)
        if self.rows == 1 and not self._staged and not self.layer.p.transpose:
            # a matrix-vector product: oneDNN's inner product reads W once, 7 ms where the other takes 13
            W, b = self._matrix(self.outputs, self.inputs), MemoryDesc.of((self.outputs,))
            return primitives.inner_product(x, W, b if bias else None, y, False, attributes)
        b = self._matrix(1, self.outputs)
        return primitives.matmul(x, self._wanted(self._W), b if bias else None, y, attributes)

    def _x(self) -> tuple[Memory, list[Call]]:
        """The matrix x as the products read it, and the calls that make it so."""
        operand, desc = self.site.one("x"), self._matrix(self.rows, self.inputs, self.dtype)
        if not self._staged:
            return Memory(desc, self.arrays["x"]), []
        staged = self.arrays["staged"]
        in_order = Memory(MemoryDesc.of(operand.shape, self.dtype), staged)
        return Memory(desc, staged), [copy(Memory.of(self.arrays["x"]), in_order)]

    # -- backward ---------------------------------------------------------------------------------------

    def compile_backward(self) -> list[Call]:
        dy, calls = self._dy()
        if self.arrays["dx"] is not None:
            calls += self._data(dy)
        if self.site.learn.get("W", False):
            calls.append(self._weights(dy).run)
        if self.site.learn.get("b", False) and "b" not in self.layer.absent:
            rows = self.arrays["dy"].reshape(self.rows, self.outputs)
            calls.append(partial(_add_rows, self.params["b"], rows))
        return calls

    def _dy(self) -> tuple[Memory, list[Call]]:
        blob = self._whole("dy", self.outputs)
        if self.dtype is DataType.F32:
            return blob, []
        cast = self._matrix(self.rows, self.outputs, self.dtype).empty()
        return cast, [copy(blob, cast)]

    def _data(self, dy: Memory) -> list[Call]:
        dx, plain = self.arrays["dx"], self._matrix(self.rows, self.inputs)
        desc = self._data_product()
        W = self._packed(self._W.transpose((1, 0)), desc)
        target, after = Memory(plain, dx), []
        if not is_plain(self.site.one("x")):
            target = plain.empty()
            in_order = Memory(MemoryDesc.of(dx.shape), target.array)
            after = [copy(in_order, Memory.of(dx))]
        memories = {Arg.SRC: dy, Arg.WEIGHTS: W.memory, Arg.DST: target}
        return [W.refresh, desc.bind(memories, self.scratch).run, *after]

    def _data_product(self) -> PrimitiveDesc:
        """dx (N, K) = dy (N, M) W (M, K)."""
        dy, dx = self._matrix(self.rows, self.outputs, self.dtype), self._matrix(self.rows, self.inputs)
        return primitives.matmul(dy, self._wanted(self._W.transpose((1, 0))), None, dx)

    def _weights(self, dy: Memory) -> DirectGradient:
        x = self._x()[0]
        left, right = (x, dy) if self.layer.p.transpose else (dy, x)
        left = Memory(left.desc.transpose((1, 0)), left.array)
        dW, memories = MemoryDesc.of(self.params["W"].shape), {Arg.SRC: left, Arg.WEIGHTS: right}
        make = self._weights_product
        return DirectGradient(self.params["W"], make, Arg.DST, dW, memories, self.scratch)

    def _weights_product(self, attributes: Attributes | None = None) -> PrimitiveDesc:
        """dW (M, K) = dy^T (M, N) x (N, K), or its transpose x^T dy."""
        x, dy = (self._matrix(self.rows, n, self.dtype) for n in (self.inputs, self.outputs))
        left, right = (x, dy) if self.layer.p.transpose else (dy, x)
        dW = MemoryDesc.of((left.shape[1], right.shape[1]))
        return primitives.matmul(left.transpose((1, 0)), right, None, dW, attributes)

    # -- matrices ---------------------------------------------------------------------------------------

    @staticmethod
    def _matrix(rows: int, columns: int, dtype: DataType = DataType.F32) -> MemoryDesc:
        return MemoryDesc.of((rows, columns), dtype)

    def _whole(self, name: str, columns: int) -> Memory:
        return Memory(self._matrix(self.rows, columns), self.arrays[name])

    def _wanted(self, stored: MemoryDesc) -> MemoryDesc:
        """The weights that a product asks for: as they are stored, in bfloat16 as it likes."""
        return stored if self.dtype is DataType.F32 else MemoryDesc.any(stored.shape, self.dtype)

    def _packed(self, stored: MemoryDesc, desc: PrimitiveDesc) -> PackedParam:
        wanted = desc.desc(Query.WEIGHTS)
        return packed_param(self.params["W"], wanted if self.dtype is DataType.F32 else stored, wanted)


def _add_rows(b: Param, dy: Array) -> None:
    gradient, add = b.grad_for_write()
    if add:
        gradient += dy.sum(axis=0)
    else:
        dy.sum(axis=0, out=gradient)


KERNELS = (OneDnnInnerProduct,)
