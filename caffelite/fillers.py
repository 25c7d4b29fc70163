"""Fillers: how parameters start.

A filler is a pure function of its message, the shape and a generator. Numbers are drawn in float32 whatever
the dtype, so that every engine starts from the same weights. For a weight of shape (O, I, *K), fan_in = I * K
is count / O and fan_out = O * K is count / I; ``variance_norm`` chooses one of them or their average.

=================== =======================================================================================
constant            ``value`` (0)
uniform             from ``min`` (0) to ``max`` (1)
gaussian            ``mean`` (0), ``std`` (1); with ``sparse`` each kept with probability sparse / O, else 0
positive_unitball   uniform from 0 to 1, then each row divided by its sum
xavier              uniform within sqrt(3 / n) of 0 (Glorot and Bengio, 2010)
msra                gaussian with std sqrt(2 / n) (He et al., 2015)
bilinear            the kernel that a Deconvolution upsamples with, the same for all channels
=================== =======================================================================================

Source: BVLC Caffe, filler.hpp.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from caffelite.errors import NetError
from caffelite.types import Shape, count

Array = npt.NDArray[Any]


def fill(
    filler: Any, shape: Shape, rng: np.random.Generator, dtype: npt.DTypeLike = np.float32, at: str = "filler"
) -> Array:
    """A new array as a FillerParameter message says.

    Raises NetError if ``objection`` has one; ``at`` says whose filler it is and opens the message.
    """
    problem = objection(filler, shape)
    if problem is not None:
        expected, got, fix = problem
        raise NetError(f"{at}: expected {expected}, got {got}" + (f"\n  Fix: {fix}" if fix else ""))
    return _FILLERS[filler.type](filler, tuple(shape), rng).astype(dtype, copy=False)


def objection(filler: Any, shape: Shape) -> tuple[str, str, str] | None:
    """Why a filler cannot fill a shape: what was expected, what came, the cure if known. None if it can."""
    return next(((expected, str(got), fix) for expected, got, fix in _objections(filler, tuple(shape))), None)


def _objections(filler: Any, shape: Shape) -> list[tuple[str, object, str]]:
    kind = filler.type
    found: list[tuple[str, object, str]] = []
    if kind not in _FILLERS:
        return [(f"a filler type of {', '.join(_FILLERS)}", f"'{kind}'", "")]
    if filler.sparse != -1 and kind != "gaussian":
        found.append(('sparse only with type: "gaussian"', f"'{kind}'", "drop sparse"))
    if kind == "uniform" and filler.min > filler.max:
        found.append(("min <= max", f"min {filler.min:g}, max {filler.max:g}", ""))
    if kind == "gaussian" and not filler.std > 0:
        found.append(("std > 0", f"{filler.std:g}", 'use type: "constant"' if filler.std == 0 else ""))
    if kind == "gaussian" and filler.sparse < -1:
        found.append(("sparse >= 0", filler.sparse, ""))
    if kind == "gaussian" and filler.sparse >= 0 and filler.sparse > (shape[0] if shape else 0):
        found.append((f"sparse no larger than the {shape[0] if shape else 0} outputs", filler.sparse, ""))
    if kind == "bilinear" and (len(shape) != 4 or shape[2] != shape[3]):
        found.append(("a 4-D weight with square kernels", shape, ""))
    if kind in ("positive_unitball", "xavier", "msra") and not shape:
        found.append(("a shape with at least 1 axis", shape, ""))
    return found


def _constant(filler: Any, shape: Shape, rng: np.random.Generator) -> Array:
    return np.full(shape, filler.value, np.float32)


def _uniform(filler: Any, shape: Shape, rng: np.random.Generator) -> Array:
    return _between(rng, shape, filler.min, filler.max)


def _gaussian(filler: Any, shape: Shape, rng: np.random.Generator) -> Array:
    values = _normal(rng, shape, filler.std)
    values += filler.mean
    if filler.sparse >= 0:
        values *= rng.random(shape, np.float32) < filler.sparse / shape[0]
    return values


def _positive_unitball(filler: Any, shape: Shape, rng: np.random.Generator) -> Array:
    values = rng.random(shape, np.float32)
    values /= values.sum(axis=tuple(range(1, values.ndim)), keepdims=True)
    return values


def _xavier(filler: Any, shape: Shape, rng: np.random.Generator) -> Array:
    bound = sqrt(3 / _fan(filler, shape))
    return _between(rng, shape, -bound, bound)


def _msra(filler: Any, shape: Shape, rng: np.random.Generator) -> Array:
    return _normal(rng, shape, sqrt(2 / _fan(filler, shape)))


def _bilinear(filler: Any, shape: Shape, rng: np.random.Generator) -> Array:
    size = shape[3]
    factor = ceil(size / 2)
    centre = (size - 1) / (2 * factor)
    line = 1 - np.abs(np.arange(size) / factor - centre)
    return np.broadcast_to(np.outer(line, line), shape).astype(np.float32)


def _fan(filler: Any, shape: Shape) -> float:
    total = count(shape)
    fan_in = total / max(1, shape[0])
    fan_out = total / max(1, shape[1]) if len(shape) > 1 else total
    return max(1.0, (fan_in, fan_out, (fan_in + fan_out) / 2)[filler.variance_norm])


def _between(rng: np.random.Generator, shape: Shape, low: float, high: float) -> Array:
    values = np.asarray(rng.random(shape, np.float32), np.float32)  # a scalar for shape ()
    values *= high - low
    values += low
    return values


def _normal(rng: np.random.Generator, shape: Shape, std: float) -> Array:
    values = np.asarray(rng.standard_normal(shape, np.float32), np.float32)
    values *= std
    return values


_FILLERS: dict[str, Callable[[Any, Shape, np.random.Generator], Array]] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}
