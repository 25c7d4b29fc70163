"""Finds and loads oneDNN's shared library, and says in plain words why not where that fails.

Looked for, first hit wins: the file named by the environment variable ``CAFFELITE_ONEDNN``; the wheel
``onednn-cpu-gomp`` (or its siblings for other OpenMP runtimes); a library of the system. A file that is
found but unusable is the answer, never a reason to try the next one in silence.
"""

from __future__ import annotations

import ctypes as c
import importlib.metadata
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from functools import lru_cache
from pathlib import Path

from caffelite.cpu.onednn_types import RUNTIMES, Status
from caffelite.errors import DeviceError

VARIABLE = "CAFFELITE_ONEDNN"
SPINS = "500"  # some 10 us: longer than the gap between two primitives
WHEELS = ("onednn-cpu-gomp", "onednn-cpu-iomp", "onednn-cpu-vcomp")
FILE_NAMES = ("libdnnl.so.3", "libdnnl.3.dylib", "dnnl.dll")
INSTALL = "pip install onednn-cpu-gomp (Linux on x86-64), or name a libdnnl.so of oneDNN 3.x in " + VARIABLE
OPENMP_PACKAGES = "apt-get install libgomp1 (Debian, Ubuntu), dnf install libgomp (Fedora), apk add libgomp"

Handle = c.c_void_p
_D, _S, _E, _P, _A = (Handle,) * 5  # memory descriptor, stream, engine, primitive (descriptor), attributes
_OUT = c.POINTER(Handle)
_DIMS = c.POINTER(c.c_int64)
_INT, _FLOAT, _SIZE = c.c_int, c.c_float, c.c_size_t
_WINDOW = (_DIMS, _DIMS, _DIMS, _DIMS)  # strides, dilations, left padding, right padding
_POOL_WINDOW = (_DIMS, _DIMS, _DIMS, _DIMS, _DIMS)  # strides, kernel, dilations, left padding, right padding

_SIGNATURES: dict[str, tuple[object, ...]] = {
    "engine_create": (_OUT, _INT, _SIZE),
    "stream_create": (_OUT, _E, c.c_uint),
    "memory_desc_create_with_strides": (_OUT, _INT, _DIMS, _INT, _DIMS),
    "memory_desc_create_with_tag": (_OUT, _INT, _DIMS, _INT, _INT),
    "memory_desc_clone": (_OUT, _D),
    "memory_desc_reshape": (_OUT, _D, _INT, _DIMS),
    "memory_desc_permute_axes": (_OUT, _D, c.POINTER(_INT)),
    "memory_desc_query": (_D, _INT, c.c_void_p),
    "memory_desc_destroy": (_D,),
    "memory_create": (_OUT, _D, _E, c.c_void_p),
    "memory_set_data_handle": (Handle, c.c_void_p),
    "memory_destroy": (Handle,),
    "primitive_attr_create": (_OUT,),
    "primitive_attr_set_scratchpad_mode": (_A, _INT),
    "primitive_attr_set_fpmath_mode": (_A, _INT),
    "primitive_attr_set_post_ops": (_A, Handle),
    "primitive_attr_destroy": (_A,),
    "post_ops_create": (_OUT,),
    "post_ops_append_sum": (Handle, _FLOAT, c.c_int32, _INT),
    "post_ops_append_eltwise": (Handle, _INT, _FLOAT, _FLOAT),
    "post_ops_append_binary": (Handle, _INT, _D),
    "post_ops_destroy": (Handle,),
    "primitive_desc_query": (_P, _INT, _INT, c.c_void_p),
    "primitive_desc_destroy": (_P,),
    "primitive_create": (_OUT, _P),
    "primitive_destroy": (_P,),
    "primitive_execute": (_P, _S, _INT, c.c_void_p),
    "reorder_primitive_desc_create": (_OUT, _D, _E, _D, _E, _A),
    "concat_primitive_desc_create": (_OUT, _E, _D, _INT, _INT, _OUT, _A),
    "sum_primitive_desc_create": (_OUT, _E, _D, _INT, c.POINTER(_FLOAT), _OUT, _A),
    "binary_primitive_desc_create": (_OUT, _E, _INT, _D, _D, _D, _A),
    "matmul_primitive_desc_create": (_OUT, _E, _D, _D, _D, _D, _A),
    "convolution_forward_primitive_desc_create": (_OUT, _E, _INT, _INT, _D, _D, _D, _D, *_WINDOW, _A),
    "convolution_backward_data_primitive_desc_create": (_OUT, _E, _INT, _D, _D, _D, *_WINDOW, _P, _A),
    "convolution_backward_weights_primitive_desc_create": (_OUT, _E, _INT, _D, _D, _D, _D, *_WINDOW, _P, _A),
    "deconvolution_forward_primitive_desc_create": (_OUT, _E, _INT, _INT, _D, _D, _D, _D, *_WINDOW, _A),
    "deconvolution_backward_data_primitive_desc_create": (_OUT, _E, _INT, _D, _D, _D, *_WINDOW, _P, _A),
    "deconvolution_backward_weights_primitive_desc_create": (
        _OUT,
        _E,
        _INT,
        _D,
        _D,
        _D,
        _D,
        *_WINDOW,
        _P,
        _A,
    ),
    "inner_product_forward_primitive_desc_create": (_OUT, _E, _INT, _D, _D, _D, _D, _A),
    "pooling_forward_primitive_desc_create": (_OUT, _E, _INT, _INT, _D, _D, *_POOL_WINDOW, _A),
    "pooling_backward_primitive_desc_create": (_OUT, _E, _INT, _D, _D, *_POOL_WINDOW, _P, _A),
    "lrn_forward_primitive_desc_create": (
        _OUT,
        _E,
        _INT,
        _INT,
        _D,
        _D,
        c.c_int64,
        _FLOAT,
        _FLOAT,
        _FLOAT,
        _A,
    ),
    "lrn_backward_primitive_desc_create": (
        _OUT,
        _E,
        _INT,
        _D,
        _D,
        _D,
        c.c_int64,
        _FLOAT,
        _FLOAT,
        _FLOAT,
        _P,
        _A,
    ),
    "batch_normalization_forward_primitive_desc_create": (_OUT, _E, _INT, _D, _D, _FLOAT, c.c_uint, _A),
    "batch_normalization_backward_primitive_desc_create": (
        _OUT,
        _E,
        _INT,
        _D,
        _D,
        _D,
        _FLOAT,
        c.c_uint,
        _P,
        _A,
    ),
    "eltwise_forward_primitive_desc_create": (_OUT, _E, _INT, _INT, _D, _D, _FLOAT, _FLOAT, _A),
    "eltwise_backward_primitive_desc_create": (_OUT, _E, _INT, _D, _D, _D, _FLOAT, _FLOAT, _P, _A),
    "softmax_forward_primitive_desc_create": (_OUT, _E, _INT, _INT, _D, _D, _INT, _A),
    "softmax_backward_primitive_desc_create": (_OUT, _E, _INT, _D, _D, _D, _INT, _P, _A),
    "sgemm": (
        *(c.c_char, c.c_char, c.c_int64, c.c_int64, c.c_int64, _FLOAT),
        *(c.c_void_p, c.c_int64, c.c_void_p, c.c_int64, _FLOAT, c.c_void_p, c.c_int64),
    ),
}


class _Version(c.Structure):
    _fields_ = [
        ("major", _INT),
        ("minor", _INT),
        ("patch", _INT),
        ("hash", c.c_char_p),
        ("cpu_runtime", c.c_uint),
        ("gpu_runtime", c.c_uint),
    ]


class OneDNNError(DeviceError):
    """A call of oneDNN that failed. ``status`` says how; UNIMPLEMENTED means that it has no such kernel."""

    def __init__(self, call: str, status: int):
        known = status in Status._value2member_map_
        self.status = Status(status) if known else Status.RUNTIME_ERROR
        name = self.status.name.lower() if known else f"status {status}"
        super().__init__(f"oneDNN: dnnl_{call} failed: {name.replace('_', ' ')}")


class Library:
    """The loaded library: ``call(name, ...)`` runs ``dnnl_<name>`` and raises where it fails."""

    def __init__(self, path: str):
        self.path = path
        self.dll = c.CDLL(path)
        self.dll.dnnl_version.restype = c.POINTER(_Version)
        found = self.dll.dnnl_version().contents
        self.version = (found.major, found.minor, found.patch)
        self.runtime = RUNTIMES.get(found.cpu_runtime, str(found.cpu_runtime))

    def declare(self) -> None:
        """Set the argument types of every function in use, and make the engine and the stream."""
        for name, arguments in _SIGNATURES.items():
            getattr(self.dll, f"dnnl_{name}").argtypes = arguments
        self.dll.dnnl_memory_desc_get_size.argtypes = (_D,)
        self.dll.dnnl_memory_desc_get_size.restype = _SIZE
        self.dll.dnnl_memory_desc_equal.argtypes = (_D, _D)
        self.dll.dnnl_primitive_desc_query_md.argtypes = (_P, _INT, _INT)
        self.dll.dnnl_primitive_desc_query_md.restype = Handle
        self.engine = self.create("engine_create", 1, 0)
        self.stream = self.create("stream_create", self.engine, 1)

    def call(self, name: str, *arguments: object) -> None:
        """Run ``dnnl_<name>``; :class:`OneDNNError` with the status where it is not success."""
        if status := getattr(self.dll, f"dnnl_{name}")(*arguments):
            raise OneDNNError(name, status)

    def create(self, name: str, *arguments: object) -> Handle:
        """Run ``dnnl_<name>``, whose first argument is the place of the new handle, and give the handle."""
        handle = Handle()
        self.call(name, c.byref(handle), *arguments)
        return handle


def _wheel_files() -> Iterator[Path]:
    for wheel in WHEELS:
        try:
            files = importlib.metadata.files(wheel) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        yield from (Path(str(file.locate())).resolve() for file in files if file.name in FILE_NAMES)


def _find() -> str | None:
    named = os.environ.get(VARIABLE)
    if named:
        return named
    wheel = next((path for path in _wheel_files() if path.is_file()), None)
    return str(wheel) if wheel else find_library("dnnl")


def _load(path: str) -> Library:
    """Load and check one file. Raises DeviceError with the cure."""
    try:
        with _patient_threads():
            library = Library(path)
    except OSError as error:
        fix = OPENMP_PACKAGES if str(error).startswith("libgomp") else INSTALL
        raise DeviceError(f"oneDNN library '{path}' cannot be loaded: {error}\n  Fix: {fix}") from error
    except AttributeError as error:
        raise DeviceError(f"'{path}' is not oneDNN: {error}\n  Fix: {INSTALL}") from error
    text = ".".join(map(str, library.version))
    if library.version[0] != 3:
        raise DeviceError(f"oneDNN library '{path}' is version {text}, expected 3.x\n  Fix: {INSTALL}")
    if library.runtime not in ("sequential", "OpenMP"):
        raise DeviceError(
            f"oneDNN library '{path}' runs on {library.runtime}, expected OpenMP\n  Fix: {INSTALL}"
        )
    library.declare()
    return library


@contextmanager
def _patient_threads() -> Iterator[None]:
    """Lets OpenMP threads sleep soon when they wait, unless the user has chosen.

    libgomp reads its variables when it is loaded. By default its threads spin for milliseconds before they sleep;
    where another program wants the cores too, the spinning thread holds up the one that it waits for. Measured with
    a small Faster R-CNN on two threads of two busy cores: 780 to 900 ms a step by default, 100 to 145 with 10000
    spins, 29 to 52 with 500, 25 to 39 with none.
    """
    if "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ:
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = SPINS
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]


@lru_cache(maxsize=1)
def _loaded() -> Library | str:
    path = _find()
    if path is None:
        return f"oneDNN is not installed\n  Fix: {INSTALL}"
    try:
        return _load(path)
    except DeviceError as error:
        return str(error)


def available() -> str | None:
    """``None`` if oneDNN can be used, else the reason, with the cure."""
    found = _loaded()
    return found if isinstance(found, str) else None


def library() -> Library:
    """The loaded library. Raises DeviceError with the reason of :func:`available` where there is none."""
    found = _loaded()
    if isinstance(found, str):
        raise DeviceError(found)
    return found
