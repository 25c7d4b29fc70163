"""``caffelite device_query``: what this machine offers and what the engines make of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.errors import DeviceError, UsageError

# What oneDNN's choice of kernels depends on, best first: the flag in /proc/cpuinfo and its usual name.
_INSTRUCTIONS = (
    ("amx_bf16", "AMX (bfloat16)"), ("amx_int8", "AMX (int8)"), ("avx512_bf16", "AVX-512 bfloat16"),
    ("avx512f", "AVX-512"), ("avx_vnni", "AVX-VNNI"), ("avx2", "AVX2"), ("asimd", "NEON"), ("sve", "SVE"),
)  # fmt: skip


def _run(options: Options) -> int:
    for name, value in _gpu_lines(options.text("gpu")) if options.text("gpu") else _lines():
        print(f"{name:<22}{value}")
    return 0


def _lines() -> Iterator[tuple[str, str]]:
    from caffelite.cpu import onednn
    from caffelite.cpu.cores import cpu_quota, usable_cores
    from caffelite.cpu.threads import denormals_note, num_threads
    from caffelite.storage import memory_limit

    info = _cpu_info()
    yield "Name:", info.get("model name") or platform.processor() or platform.machine()
    yield "Logical CPUs:", str(os.cpu_count())
    quota = cpu_quota()
    yield "Usable cores:", f"{usable_cores()} physical" + (f" (container limit {quota:g})" if quota else "")
    yield "Threads:", f"{num_threads()} (--threads, CAFFELITE_THREADS and OMP_NUM_THREADS change it)"
    yield "Instructions:", _instructions(info) or "unknown"
    yield "Memory:", f"{memory_limit() / 2**30:.1f} GiB"
    missing = onednn.available()
    yield "oneDNN:", f"not used: {missing}" if missing else onednn.version()
    yield "Denormals:", denormals_note()
    yield "GPUs:", _gpus()


def _gpu_lines(ids: str) -> Iterator[tuple[str, str]]:
    """What Caffe's device_query says of GPUs. Raises DeviceError where there is none, UsageError for no number."""
    from caffelite.cuda.device import count_gpus, open_device

    for word in map(str, range(count_gpus())) if ids == "all" else ids.split(","):
        if not word.isdecimal():
            raise UsageError(f"-gpu: expected a GPU's number or all, got '{word}'")
        device = open_device(int(word))
        yield "Device id:", word
        yield "Name:", device.name
        yield "Memory:", f"{device.memory / 2**30:.1f} GiB"


def _gpus() -> str:
    """What the CUDA engine finds, in a line."""
    from caffelite.cuda.device import count_gpus, open_device

    try:
        return ", ".join(open_device(number).name for number in range(count_gpus()))
    except DeviceError as error:
        return f"not used: {str(error).splitlines()[0].removeprefix('GPU 0: ')}"


def _instructions(info: dict[str, str]) -> str:
    flags = (info.get("flags") or info.get("Features") or "").split()
    return ", ".join(name for flag, name in _INSTRUCTIONS if flag in flags)


def _cpu_info() -> dict[str, str]:
    """The first processor in Linux's list; empty on other systems."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text().split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


COMMAND = Command(
    "what this machine offers: cores, threads, instructions, oneDNN, GPUs",
    _run,
    (Flag("gpu", "", "ask these GPUs instead, or all", "IDS"),),
    examples=("caffelite device_query",),
)
