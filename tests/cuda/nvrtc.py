"""NVIDIA's runtime compiler by ctypes, which needs neither a GPU nor CuPy: ``pip install nvidia-cuda-nvrtc``."""

from __future__ import annotations

import ctypes
import site
import sys
from functools import cache
from pathlib import Path


@cache
def library() -> ctypes.CDLL | None:
    """The compiler; None if it is not installed."""
    places = [*site.getsitepackages(), *sys.path]
    found = [path for place in places for path in sorted(Path(place).glob("nvidia/*/lib/libnvrtc.so.*"))]
    return ctypes.CDLL(str(found[0])) if found else None


def compile_for(source: str, arch: str, options: tuple[str, ...]) -> int:
    """The size of the code for an architecture such as ``sm_90``. Raises RuntimeError with the compiler's words."""
    nvrtc = library()
    assert nvrtc is not None
    program = ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None))
    words = [f"--gpu-architecture={arch}".encode(), *(option.encode() for option in options)]
    result = nvrtc.nvrtcCompileProgram(program, len(words), (ctypes.c_char_p * len(words))(*words))
    size = ctypes.c_size_t()
    try:
        if result:
            _check(nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)))
            log = ctypes.create_string_buffer(size.value)
            _check(nvrtc.nvrtcGetProgramLog(program, log))
            raise RuntimeError(log.value.decode())
        _check(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        return size.value
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _check(result: int) -> None:
    if result:
        raise RuntimeError(f"NVRTC: error {result}")
