"""oneDNN through ctypes: memory descriptors, memories, primitives. No compiler, no copies, no hidden state.

The way of a primitive: describe the memories (``MemoryDesc.of`` with strides, ``MemoryDesc.any`` where the
primitive may choose), make a :class:`PrimitiveDesc` with one of the functions of
:mod:`caffelite.cpu.onednn_primitives`, ask it which layouts it chose, then :meth:`PrimitiveDesc.bind` it to
memories and run it: about 3 microseconds a call.

oneDNN builds the number of threads into a primitive: call ``threads.apply()`` before making any.
Scratch space belongs to the caller (one :class:`Scratch` for primitives that never run at the same time),
because the library's own is tied to the thread that made the primitive.
"""

from __future__ import annotations

import ctypes as c
import math
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffelite.cpu.onednn_library import Handle, Library, OneDNNError, available, library
from caffelite.cpu.onednn_types import (
    ANY_FORMAT,
    BLOCKED,
    SCRATCHPAD_USER,
    Algorithm,
    Arg,
    DataType,
    MathMode,
    Query,
)
from caffelite.types import Shape

__all__ = [
    "Attributes",
    "Memory",
    "MemoryDesc",
    "OneDNNError",
    "Primitive",
    "PrimitiveDesc",
    "Scratch",
    "available",
    "empty",
    "sgemm",
    "version",
]

Array = npt.NDArray[Any]
ALIGNMENT = 64
"""Bytes: one cache line, and the widest vector register."""

_DATA_TYPES = {"float32": DataType.F32, "float16": DataType.F16, "uint16": DataType.BF16}
_DATA_TYPES |= {"int32": DataType.S32, "int8": DataType.S8, "uint8": DataType.U8}
_DTYPES = {data_type: np.dtype(name) for name, data_type in _DATA_TYPES.items()}


def version() -> str:
    """The library's version, ``3.2.0``. Raises DeviceError where it is absent."""
    return ".".join(map(str, library().version))


def empty(count: int, dtype: npt.DTypeLike = np.float32) -> Array:
    """A flat, uninitialised array of ``count`` elements that starts at a cache line."""
    dtype = np.dtype(dtype)
    raw = np.empty(count * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count * dtype.itemsize].view(dtype)


def data_type(dtype: npt.DTypeLike | DataType) -> DataType:
    """oneDNN's word for a NumPy type; ``uint16`` stands for bfloat16. Raises TypeError for others."""
    if isinstance(dtype, DataType):
        return dtype
    name = np.dtype(dtype).name
    if name not in _DATA_TYPES:
        known = ", ".join(_DATA_TYPES)
        raise TypeError(f"oneDNN has no data type for NumPy's {name}, expected one of {known}")
    return _DATA_TYPES[name]


def dims(values: Sequence[int]) -> c.Array[c.c_int64]:
    """A C array of ``dnnl_dim_t``."""
    return (c.c_int64 * len(values))(*values)


class _Owner:
    """Holds one handle of the library and destroys it with the object."""

    handle: Handle

    def _own(self, handle: Handle, kind: str) -> None:
        self.handle = handle
        weakref.finalize(self, getattr(library().dll, f"dnnl_{kind}_destroy"), handle).atexit = False


class MemoryDesc(_Owner):
    """Shape, element type and layout of a memory; equal if all three are."""

    def __init__(self, handle: Handle):
        self._own(handle, "memory_desc")
        size = library().dll.dnnl_memory_desc_get_size(handle)
        self.bytes: int = size
        self.shape: Shape = self._dims(Query.DIMS)
        self.data_type = DataType(self._int(Query.DATA_TYPE))

    @classmethod
    def of(
        cls, shape: Shape, dtype: npt.DTypeLike | DataType = np.float32, strides: Sequence[int] | None = None
    ) -> MemoryDesc:
        """A plain layout: ``strides`` in elements, row-major where not given."""
        if strides is None:
            strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        create = ("memory_desc_create_with_strides", len(shape), dims(shape), data_type(dtype), dims(strides))
        return cls(library().create(*create))

    @classmethod
    def like(cls, array: Array) -> MemoryDesc:
        """The layout that an array has. Raises TypeError for element types that oneDNN lacks."""
        return cls.of(array.shape, array.dtype, [stride // array.itemsize for stride in array.strides])

    @classmethod
    def channels_last(cls, shape: Shape, dtype: npt.DTypeLike | DataType = np.float32) -> MemoryDesc:
        """(N, C, *S) in memory as N, *S, C: caffelite's layout of activations."""
        return cls.of(shape, dtype, channels_last_strides(shape))

    @classmethod
    def any(cls, shape: Shape, dtype: npt.DTypeLike | DataType = np.float32) -> MemoryDesc:
        """A layout that the primitive may choose."""
        create = ("memory_desc_create_with_tag", len(shape), dims(shape), data_type(dtype), ANY_FORMAT)
        return cls(library().create(*create))

    def reshape(self, shape: Shape) -> MemoryDesc:
        """The same memory under another shape. OneDNNError if the layout does not allow it."""
        return MemoryDesc(library().create("memory_desc_reshape", self.handle, len(shape), dims(shape)))

    def transpose(self, axes: Sequence[int]) -> MemoryDesc:
        """The same memory with axis ``i`` of the result being axis ``axes[i]`` of this one."""
        inverse = [axes.index(axis) for axis in range(len(axes))]
        permutation = (c.c_int * len(axes))(*inverse)
        return MemoryDesc(library().create("memory_desc_permute_axes", self.handle, permutation))

    @property
    def strides(self) -> Shape | None:
        """Elements between neighbours of each axis; ``None`` for packed layouts and for ``any``."""
        plain = self._int(Query.FORMAT_KIND) == BLOCKED and not self._int(Query.INNER_BLOCKS)
        return self._dims(Query.STRIDES) if plain else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's type of the elements (``uint16`` for bfloat16)."""
        return _DTYPES[self.data_type]

    def empty(self) -> Memory:
        """A new memory of this layout, its content unset."""
        return Memory(self, empty(self.bytes, np.uint8))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MemoryDesc):
            return NotImplemented
        return bool(library().dll.dnnl_memory_desc_equal(self.handle, other.handle))

    def __hash__(self) -> int:
        return hash((self.shape, self.data_type, self.bytes))

    def __repr__(self) -> str:
        return f"MemoryDesc({self.shape}, {self.data_type.name}, strides={self.strides})"

    def _int(self, query: Query) -> int:
        result = c.c_int()
        library().call("memory_desc_query", self.handle, query, c.byref(result))
        return result.value

    def _dims(self, query: Query) -> Shape:
        result = c.POINTER(c.c_int64)()
        library().call("memory_desc_query", self.handle, query, c.byref(result))
        return tuple(result[: self._int(Query.NDIMS)])


def channels_last_strides(shape: Shape) -> Shape:
    """Strides in elements of (N, C, *S) stored as N, *S, C; row-major below three axes."""
    if len(shape) < 3:
        return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    _, channels, *space = shape
    inner = [math.prod(space[axis + 1 :]) * channels for axis in range(len(space))]
    return (math.prod(space) * channels, 1, *inner)


class Memory(_Owner):
    """A descriptor over the bytes of a NumPy array, which it keeps alive. Nothing is copied."""

    def __init__(self, desc: MemoryDesc, array: Array):
        self.desc = desc
        self._address = 0
        self._own(library().create("memory_create", desc.handle, library().engine, None), "memory")
        self.point_to(array)

    @classmethod
    def of(cls, array: Array) -> Memory:
        """A memory with the array's own shape and strides."""
        return cls(MemoryDesc.like(array), array)

    def point_to(self, array: Array) -> None:
        """Use the bytes from the array's first element on. Primitives bound to this memory follow.

        Raises ValueError if the array is contiguous and smaller than the descriptor says.
        """
        if array.nbytes < self.desc.bytes and (array.flags.c_contiguous or array.flags.f_contiguous):
            raise ValueError(f"oneDNN memory {self.desc} takes {self.desc.bytes} bytes, got {array.nbytes}")
        self.array = array
        address = array.__array_interface__["data"][0]  # quicker than array.ctypes
        if address != self._address:
            library().call("memory_set_data_handle", self.handle, address)
            self._address = address


class Scratch:
    """Working space that grows to the largest need among the primitives bound to it.

    Share one among primitives that run one after the other.
    """

    def __init__(self) -> None:
        self._buffer = empty(0, np.uint8)
        self._memories: list[weakref.ref[Memory]] = []

    def memory(self, desc: MemoryDesc) -> Memory:
        """A memory of this layout; its content is lost whenever another primitive runs."""
        if desc.bytes > self._buffer.nbytes:
            self._grow(desc.bytes)
        memory = Memory(desc, self._buffer)
        self._memories.append(weakref.ref(memory))
        return memory

    @property
    def bytes(self) -> int:
        """Size of the buffer."""
        return int(self._buffer.nbytes)

    def _grow(self, size: int) -> None:
        self._buffer = empty(size, np.uint8)
        alive = [memory for reference in self._memories if (memory := reference())]
        self._memories = [weakref.ref(memory) for memory in alive]
        for memory in alive:
            memory.point_to(self._buffer)


class Attributes(_Owner):
    """What a primitive does besides its own work: post-ops in the order of the calls, input rounding."""

    def __init__(self, math_mode: MathMode = MathMode.STRICT) -> None:
        self._own(library().create("primitive_attr_create"), "primitive_attr")
        library().call("primitive_attr_set_scratchpad_mode", self.handle, SCRATCHPAD_USER)
        library().call("primitive_attr_set_fpmath_mode", self.handle, math_mode)
        self._post_ops: list[tuple[Any, ...]] = []

    def add_eltwise(self, algorithm: Algorithm, alpha: float = 0.0, beta: float = 0.0) -> Attributes:
        """Then apply a function to each element."""
        return self._add("post_ops_append_eltwise", algorithm, alpha, beta)

    def add_sum(self, scale: float = 1.0) -> Attributes:
        """Then add ``scale`` times what the destination held before."""
        return self._add("post_ops_append_sum", scale, 0, 0)

    def add_binary(self, algorithm: Algorithm, source: MemoryDesc) -> Attributes:
        """Then combine with another memory, broadcast where its extent is 1 (see ``Arg.POST_OP_BASE``)."""
        return self._add("post_ops_append_binary", algorithm, source.handle, keep=source)

    def _add(self, name: str, *arguments: object, keep: object = None) -> Attributes:
        self._post_ops.append((name, arguments, keep))
        post_ops = library().create("post_ops_create")
        try:
            for call, values, _ in self._post_ops:
                library().call(call, post_ops, *values)
            library().call("primitive_attr_set_post_ops", self.handle, post_ops)
        finally:
            library().call("post_ops_destroy", post_ops)
        return self


class PrimitiveDesc(_Owner):
    """A kernel that oneDNN has chosen for given descriptors. See :mod:`caffelite.cpu.onednn_primitives`."""

    def __init__(self, call: str, *arguments: object):
        """``call`` is the C function's name between ``dnnl_`` and ``_primitive_desc_create``."""
        self._own(library().create(f"{call}_primitive_desc_create", *arguments), "primitive_desc")
        self.name = call

    def desc(self, query: Query) -> MemoryDesc:
        """The layout chosen for one of the memories; of zero bytes if the primitive does not use it."""
        borrowed = library().dll.dnnl_primitive_desc_query_md(self.handle, query, 0)
        return MemoryDesc(library().create("memory_desc_clone", borrowed))

    @property
    def implementation(self) -> str:
        """oneDNN's name of the kernel, such as ``brgconv:avx512_core``; a name with ``ref`` is slow."""
        text = c.c_char_p()
        library().call("primitive_desc_query", self.handle, Query.IMPLEMENTATION, 0, c.byref(text))
        return (text.value or b"").decode()

    def bind(self, memories: Mapping[Any, Memory], scratch: Scratch | None = None) -> Primitive:
        """A primitive ready to run on these memories (keys are :class:`Arg`)."""
        return Primitive(self, memories, scratch)


class Primitive(_Owner):
    """A kernel bound to its memories; :meth:`run` does the work and takes no arguments."""

    def __init__(self, desc: PrimitiveDesc, memories: Mapping[Any, Memory], scratch: Scratch | None = None):
        self._own(library().create("primitive_create", desc.handle), "primitive")
        self.desc = desc
        self.memories = dict(memories)
        scratchpad = desc.desc(Query.SCRATCHPAD)
        if scratchpad.bytes:
            self.memories[Arg.SCRATCHPAD] = (scratch or Scratch()).memory(scratchpad)
        self._arguments = _arguments(self.memories)
        self._execute = library().dll.dnnl_primitive_execute
        self._call = (self.handle, library().stream, len(self.memories), c.addressof(self._arguments))

    def run(self) -> None:
        """Execute and wait for the result. OneDNNError where the library reports a failure."""
        if status := self._execute(*self._call):
            raise OneDNNError(f"primitive_execute ({self.desc.name})", status)


class _Argument(c.Structure):
    _fields_ = [("name", c.c_int), ("memory", c.c_void_p)]


def _arguments(memories: Mapping[Any, Memory]) -> c.Array[_Argument]:
    pairs = [_Argument(int(name), memory.handle) for name, memory in memories.items()]
    return (_Argument * len(pairs))(*pairs)


def sgemm(x: Array, y: Array, out: Array, alpha: float = 1.0, beta: float = 0.0) -> None:
    """``out = alpha * x @ y + beta * out`` for float32 matrices (M, K), (K, N), (M, N), on oneDNN's threads.

    ``x`` and ``y`` may be transposed views; ``out`` is row-major. Raises ValueError for shapes that do not
    fit, for other element types and for matrices in which neither axis is contiguous.
    """
    (m, k), (_, n) = x.shape, y.shape
    if y.shape[0] != k or out.shape != (m, n):
        got = f"{x.shape} @ {y.shape} -> {out.shape}"
        raise ValueError(f"sgemm: expected (M, K) @ (K, N) -> (M, N), got {got}")
    transposed, leading = zip(*map(_blas_layout, (x, y, out)), strict=True)
    if transposed[2] == b"T":
        raise ValueError("sgemm: expected a row-major result")
    data = [matrix.ctypes.data for matrix in (x, y, out)]
    call: Library = library()
    call.call(
        "sgemm",
        *(transposed[0], transposed[1], m, n, k, alpha),
        *(data[0], leading[0], data[1], leading[1], beta, data[2], leading[2]),
    )


def _blas_layout(matrix: Array) -> tuple[bytes, int]:
    """Whether BLAS has to transpose the matrix, and its leading dimension."""
    (rows, columns), (row, column) = matrix.shape, matrix.strides
    if matrix.dtype != np.float32:
        raise ValueError(f"sgemm: expected float32, got {matrix.dtype}")
    if (column == 4 or columns == 1) and (row >= 4 * columns or rows == 1):
        return b"N", max(row // 4, columns, 1)
    if (row == 4 or rows == 1) and (column >= 4 * rows or columns == 1):
        return b"T", max(column // 4, rows, 1)
    raise ValueError(f"sgemm: expected a matrix with one contiguous axis, got strides {matrix.strides}")
