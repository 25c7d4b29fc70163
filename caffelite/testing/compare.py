"""Comparing arrays, with a message that says which case it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# Largest difference allowed, as a share of the largest value. Engines add in another order than the array
# body; bf16 has 8 bits of precision.
TOLERANCES = {"float64": 1e-9, "float32": 2e-5, "bf16": 3e-2}


class CheckError(AssertionError):
    """A layer that does not do what its declaration says."""


def close(got: Any, want: Any, tolerance: float, what: str, context: str) -> None:
    """Raises CheckError unless two arrays agree: shapes, and values within a share of the largest one."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape:
        raise CheckError(f"{what}: shape {got.shape}, expected {want.shape}\n{context}")
    difference = np.abs(got - want)
    limit = tolerance * max(float(np.abs(want).max(initial=0)), 1e-3)
    if not (difference <= limit).all():
        where = np.unravel_index(int(np.nan_to_num(difference, nan=np.inf).argmax()), got.shape)
        at = f" at {tuple(int(i) for i in where)}" if got.ndim else ""
        raise CheckError(
            f"{what}: {got[where]:.9g}{at}, expected {want[where]:.9g} within {limit:.1e}\n{context}"
        )


def all_close(got: Sequence[Any], want: Sequence[Any], tolerance: float, what: str, context: str) -> None:
    """``close`` for two lists; None agrees with None."""
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        if a is not None or b is not None:
            close(a, b, tolerance, f"{what}[{i}]", context)
