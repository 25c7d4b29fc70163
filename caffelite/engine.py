"""Engines by name. An engine is an argument: two of them can run side by side in one function."""

from __future__ import annotations

from functools import cache

from caffelite.errors import DeviceError, UsageError
from caffelite.plan.kernel import Engine
from caffelite.prototxt.suggest import suggestion

ENGINES = ("cpu", "reference")
PRECISIONS = {"cpu": ("float32", "bf16"), "reference": ("float32", "float64")}
WORDS = tuple(dict.fromkeys(word for words in PRECISIONS.values() for word in words))


def get_engine(name: str = "cpu", precision: str = "float32") -> Engine:
    """The engine ``cpu`` (oneDNN and NumPy) or ``reference`` (the array bodies alone).

    Raises DeviceError for an engine that there is not or a precision that it has not, UsageError for a word that
    is no precision.
    """
    if name not in ENGINES:
        raise DeviceError(
            f"engine '{name}': expected one of {', '.join(ENGINES)}{suggestion(name, ENGINES)}\n"
            "  Fix: call set_mode_cpu(); this version computes on the CPU"
        )
    if precision not in WORDS:
        raise UsageError(f"precision: expected one of {', '.join(WORDS)}, got '{precision}'")
    if precision not in PRECISIONS[name]:
        raise DeviceError(
            f"engine '{name}': expected precision {' or '.join(PRECISIONS[name])}, got '{precision}'"
        )
    return _make(name, precision)


@cache
def _make(name: str, precision: str) -> Engine:
    if name == "reference":
        from caffelite.reference.engine import ReferenceEngine

        return ReferenceEngine(precision)
    from caffelite.cpu.engine import CpuEngine

    return CpuEngine(precision)
