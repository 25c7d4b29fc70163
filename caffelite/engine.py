"""Engines by name. An engine is an argument: two of them can run side by side in one function."""

from __future__ import annotations

from functools import cache

from caffelite.errors import DeviceError, UsageError
from caffelite.plan.kernel import Engine
from caffelite.prototxt.suggest import suggestion

ENGINES = ("cpu", "cuda", "reference")
PRECISIONS = {"cpu": ("float32", "bf16"), "cuda": ("float32",), "reference": ("float32", "float64")}
WORDS = tuple(dict.fromkeys(word for words in PRECISIONS.values() for word in words))


def get_engine(name: str = "cpu", precision: str = "float32") -> Engine:
    """The engine ``cpu`` (oneDNN and NumPy), ``cuda`` (GPU 0; ``cuda:1`` the next) or ``reference`` (array bodies alone).

    Raises DeviceError for an engine, a GPU or a precision that there is not, UsageError for a word that is no
    precision.
    """
    kind, colon, number = name.partition(":")
    if kind not in ENGINES or (colon and not (kind == "cuda" and number.isdecimal())):
        raise DeviceError(
            f"engine '{name}': expected one of {', '.join(ENGINES)}{suggestion(kind, ENGINES)}; cuda:1 is the second GPU"
        )
    if precision not in WORDS:
        raise UsageError(f"precision: expected one of {', '.join(WORDS)}, got '{precision}'")
    if precision not in PRECISIONS[kind]:
        raise DeviceError(
            f"engine '{name}': expected precision {' or '.join(PRECISIONS[kind])}, got '{precision}'"
        )
    return _make(kind, int(number or 0), precision)


def gpu_engine(ids: str) -> str:
    """The engine that Caffe's words for GPUs name: ``0``, or ``all`` where there is one.

    Raises UsageError for other words, DeviceError for several GPUs, or without any.
    """
    words = [word for word in ids.replace(",", " ").split() if word]
    if words == ["all"]:
        from caffelite.cuda.device import count_gpus

        words = [str(number) for number in range(count_gpus())]
    if not all(word.isdecimal() for word in words) or not words:
        raise UsageError(f"-gpu: expected a GPU's number or all, got '{ids}'")
    if len(words) > 1:
        raise DeviceError(
            f"-gpu {ids}: a net computes on one GPU, not on {len(words)} together\n  Fix: -gpu {words[0]}"
        )
    return f"cuda:{words[0]}"


@cache
def _make(kind: str, number: int, precision: str) -> Engine:
    if kind == "cuda":
        from caffelite.cuda.device import open_device
        from caffelite.cuda.engine import CudaEngine

        return CudaEngine(open_device(number), precision)
    if kind == "reference":
        from caffelite.reference.engine import ReferenceEngine

        return ReferenceEngine(precision)
    from caffelite.cpu.engine import CpuEngine

    return CpuEngine(precision)
