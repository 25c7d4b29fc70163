"""CUDA kernels on the CPU: compiled by g++ behind ``shim.h``, run thread by thread, and compiled by NVRTC for GPUs."""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

COMPILER = shutil.which("g++")
_SHIM = Path(__file__).with_name("shim.h")
_KERNEL = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\(\w+\) )?(\w+)\(([^)]*)\) \{')
_SCALARS = {"f": ctypes.c_float, "d": ctypes.c_double, "i": ctypes.c_int64, "u": ctypes.c_uint64}


def kernels(source: str) -> dict[str, str]:
    """The kernels of a source, and the parameters of each."""
    return {name: " ".join(parameters.split()) for name, parameters in _KERNEL.findall(source)}


def emulated_function(source: str, name: str) -> Any:
    """What ``Device.function`` gives, on the CPU."""
    library, barrier = _library(source), _has_barrier(source, name)
    run = getattr(library, f"run_{name}")

    def launch(blocks: int, threads: int, arguments: Any) -> None:
        assert 0 < threads <= 1024 and blocks > 0
        expected = kernels(source)[name].split(",")
        assert len(expected) == len(arguments), (
            f"{name} takes {len(expected)} arguments, got {len(arguments)}"
        )
        passed = [_passed(a, e, name) for a, e in zip(arguments, expected, strict=True)]
        run(ctypes.c_uint(blocks), ctypes.c_uint(1 if barrier else threads), *passed)

    return launch


def _passed(argument: Any, declared: str, name: str) -> Any:
    """An argument as C takes it; its type must be the declared one, which a GPU does not check."""
    pointer = "*" in declared
    if argument is None or hasattr(argument, "host"):
        assert pointer, f"{name}: an array for '{declared}'"
        if argument is None:
            return ctypes.c_void_p(None)
        kinds = {
            "float": "float32",
            "unsigned char": "uint8",
            "int": "int32",
            "index_t": "int64",
            "double": "float64",
        }
        base = declared.replace("const", "").split("*")[0].strip()
        assert str(argument.dtype) == kinds[base], f"{name}: {argument.dtype} for '{declared}'"
        return ctypes.c_void_p(argument.host.ctypes.data)
    kinds = {
        "float": "float32",
        "int": "int32",
        "index_t": "int64",
        "double": "float64",
        "unsigned": "uint32",
    }
    base = declared.replace("const", "").split()[0]
    assert not pointer and isinstance(argument, np.generic), f"{name}: {argument!r} for '{declared}'"
    assert str(argument.dtype) == kinds[base], f"{name}: {argument.dtype} for '{declared}'"
    return np.ctypeslib.as_ctypes_type(argument.dtype)(argument.item())


def _has_barrier(source: str, name: str) -> bool:
    start = next(m.end() for m in _KERNEL.finditer(source) if m[1] == name)
    after = [m.start() for m in _KERNEL.finditer(source) if m.start() > start]
    body = source[start : after[0] if after else None]
    return "block_" in body or "__syncthreads" in body


@cache
def _library(source: str) -> ctypes.CDLL:
    wrappers = "\n".join(_wrapper(name, parameters) for name, parameters in kernels(source).items())
    text = f"{_SHIM.read_text()}\n{source}\n{wrappers}"
    folder = (
        Path(tempfile.gettempdir()) / f"caffelite-emulated-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    )
    library = folder / "kernels.so"
    if not library.exists():
        folder.mkdir(exist_ok=True)
        file = folder / "kernels.cpp"
        file.write_text(text)
        part = folder / f"part-{id(text)}.so"
        command = [
            str(COMPILER),
            "-std=c++17",
            "-O2",
            "-fno-fast-math",
            "-shared",
            "-fPIC",
            "-w",
            str(file),
            "-o",
            str(part),
        ]
        subprocess.run(command, check=True)
        part.replace(library)
    return ctypes.CDLL(str(library))


def _wrapper(name: str, parameters: str) -> str:
    names = ", ".join(re.split(r"[\s*]+", parameter.strip())[-1] for parameter in parameters.split(","))
    return (
        f'extern "C" void run_{name}(unsigned blocks_, unsigned threads_, {parameters}) {{\n'
        "  gridDim.x = blocks_; blockDim.x = threads_;\n"
        "  for (blockIdx.x = 0; blockIdx.x < blocks_; ++blockIdx.x)\n"
        f"    for (threadIdx.x = 0; threadIdx.x < threads_; ++threadIdx.x) {name}({names});\n}}"
    )
