"""cuBLASLt by ctypes: CuPy has no bindings for it, and refuses cuBLAS itself while a stream is captured.

A product is prepared once (descriptors, heuristics, workspace), so that a call is one C function and can be captured in
a CUDA graph. Constants are those of ``cublasLt.h`` 13 and ``library_types.h``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from caffelite.cuda.gemm import Matrix, Product
from caffelite.errors import CaffeliteError

_COMPUTE_32F, _R_32F = 68, 0  # accumulates in float32 and rounds nothing to TF32
_TRANSA, _TRANSB, _EPILOGUE, _BIAS_POINTER = 3, 4, 7, 8  # CUBLASLT_MATMUL_DESC_*
_EPILOGUE_BIAS = 4
_MAX_WORKSPACE = 1  # CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES
WORKSPACE = 32 << 20  # bytes: what NVIDIA advises for Hopper


class _Heuristic(ctypes.Structure):
    _fields_ = (
        ("algo", ctypes.c_uint64 * 8),
        ("workspace", ctypes.c_size_t),
        ("state", ctypes.c_int),
        ("waves", ctypes.c_float),
        ("reserved", ctypes.c_int * 4),
    )


class CublasLt:
    """A handle, its workspace and the library."""

    def __init__(self, path: str, workspace: Any, stream: int):
        """``workspace``: WORKSPACE bytes on the device; ``stream``: the address of the one that calls go to."""
        self._library, self._stream = ctypes.CDLL(path), ctypes.c_void_p(stream)
        self._workspace = workspace
        self._handle = ctypes.c_void_p()
        self._call("cublasLtCreate", ctypes.byref(self._handle))

    def prepare(self, product: Product) -> Callable[[], None]:
        """A call that computes the product. Raises CaffeliteError where cuBLASLt has no algorithm."""
        # Row-major c = a b is, read column-major, c^T = b^T a^T: the operands change places and no memory moves.
        first, second, result = (self._layout(m) for m in (product.b, product.a, product.c))
        description = self._description(product)
        algorithm = self._algorithm(description, first, second, result)
        one, beta = ctypes.c_float(1), ctypes.c_float(product.add)
        target = _pointer(product.c)
        arguments = (
            self._handle, description, ctypes.byref(one), _pointer(product.b), first, _pointer(product.a), second,
            ctypes.byref(beta), target, result, target, result, ctypes.byref(algorithm),
            ctypes.c_void_p(self._workspace.data.ptr), ctypes.c_size_t(WORKSPACE),
        )  # fmt: skip
        keep = product, one, beta
        return lambda: self._call("cublasLtMatmul", *arguments, self._stream, keep=keep)

    def _description(self, product: Product) -> ctypes.c_void_p:
        description = ctypes.c_void_p()
        self._call("cublasLtMatmulDescCreate", ctypes.byref(description), _COMPUTE_32F, _R_32F)
        self._set(description, _TRANSA, ctypes.c_int(product.b.transposed))
        self._set(description, _TRANSB, ctypes.c_int(product.a.transposed))
        if product.bias is not None:
            self._set(description, _EPILOGUE, ctypes.c_int(_EPILOGUE_BIAS))
            pointer = product.bias.data.ptr + 4 * product.bias_offset
            self._set(description, _BIAS_POINTER, ctypes.c_void_p(pointer))
        return description

    def _set(self, description: ctypes.c_void_p, attribute: int, value: Any) -> None:
        size = ctypes.c_size_t(ctypes.sizeof(value))
        self._call("cublasLtMatmulDescSetAttribute", description, attribute, ctypes.byref(value), size)

    def _layout(self, matrix: Matrix) -> ctypes.c_void_p:
        layout = ctypes.c_void_p()
        sizes = ctypes.c_uint64(matrix.cols), ctypes.c_uint64(matrix.rows), ctypes.c_int64(matrix.pitch)
        self._call("cublasLtMatrixLayoutCreate", ctypes.byref(layout), _R_32F, *sizes)
        return layout

    def _algorithm(self, description: Any, first: Any, second: Any, result: Any) -> ctypes.Array[Any]:
        preference, found, count = ctypes.c_void_p(), _Heuristic(), ctypes.c_int()
        self._call("cublasLtMatmulPreferenceCreate", ctypes.byref(preference))
        size = ctypes.c_uint64(WORKSPACE)
        self._call(
            "cublasLtMatmulPreferenceSetAttribute",
            preference,
            _MAX_WORKSPACE,
            ctypes.byref(size),
            ctypes.c_size_t(8),
        )
        self._call(
            "cublasLtMatmulAlgoGetHeuristic", self._handle, description, first, second, result, result, preference, 1,
            ctypes.byref(found), ctypes.byref(count),
        )  # fmt: skip
        self._call("cublasLtMatmulPreferenceDestroy", preference)
        if not count.value:
            raise CaffeliteError("cuBLASLt has no algorithm for a product of float32 matrices")
        algorithm: ctypes.Array[Any] = found.algo
        return algorithm

    def _call(self, name: str, *arguments: Any, keep: Any = None) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise CaffeliteError(f"{name}: cuBLAS status {status}")


def _pointer(matrix: Matrix) -> ctypes.c_void_p:
    return ctypes.c_void_p(matrix.array.data.ptr + 4 * matrix.offset)
