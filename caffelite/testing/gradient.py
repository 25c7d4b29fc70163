"""Backward against forward, in float64 along a random direction.

For the sum f of all top elements weighted with dy, and a random direction v over all bottoms and parameters
that have a gradient, (f(+eps v) - f(-eps v)) / (2 eps) must be the inner product of v and what backward
computes. Two evaluations test all elements at once. Where the quotient changes with eps, a kink lies in
between (a ReLU at 0, a tie in a maximum), and other numbers are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from caffelite.testing.case import Array, LayerCase, Run, Variant
from caffelite.testing.compare import CheckError

EPSILON = 1e-5
TOLERANCE = 1e-6  # of the sum of all |gradient * direction|
DRAWS = 8

Direction = tuple[list[Array], dict[str, Array]]


def check_gradient(case: LayerCase) -> None:
    """Raises CheckError if backward is not the derivative of forward."""
    variant = Variant(dtype="float64")
    if not Run(case, variant).has_backward:
        return
    for draw in range(DRAWS):
        attempt = case.reseeded(case.seed + draw)
        got, scale, direction = _derivative(attempt, variant)
        wide = _quotient(attempt, variant, direction, EPSILON)
        narrow = _quotient(attempt, variant, direction, EPSILON / 2)
        limit = TOLERANCE * max(scale, 1e-3)
        if abs(wide - narrow) > limit:
            continue
        if not abs(got - wide) <= limit:
            raise CheckError(
                f"gradient: backward gives {got:.9g} along a random direction, forward changes by {wide:.9g} "
                f"(tolerance {limit:.1e})\n{attempt.describe(variant)}"
            )
        return
    raise CheckError(f"gradient: forward has a kink near each of {DRAWS} draws\n{case.describe(variant)}")


def _derivative(case: LayerCase, variant: Variant) -> tuple[float, float, Direction]:
    """The inner product of gradient and direction, the sum of its terms' magnitudes, and the direction."""
    run = Run(case, variant).forward().backward()
    bottoms = [
        np.zeros_like(x) if dx is None else _draw(case, "vx", i, x)
        for i, (x, dx) in enumerate(zip(run.x, run.dx, strict=True))
    ]
    params = {name: _draw(case, f"v{name}", 0, grad) for name, grad in run.learned.items()}
    terms = [v * dx for v, dx in zip(bottoms, run.dx, strict=True) if dx is not None]
    terms += [params[name] * grad for name, grad in run.learned.items()]
    return sum(float(t.sum()) for t in terms), sum(float(abs(t).sum()) for t in terms), (bottoms, params)


def _draw(case: LayerCase, name: str, i: int, like: Array) -> Array:
    return np.asarray(case.rng(name, i).uniform(-1, 1, like.shape))


def _quotient(case: LayerCase, variant: Variant, direction: Direction, epsilon: float) -> float:
    above, below = (_objective(case, variant, direction, sign * epsilon) for sign in (1, -1))
    return (above - below) / (2 * epsilon)


def _objective(case: LayerCase, variant: Variant, direction: Direction, step: float) -> float:
    bottoms, params = direction
    values = {i: x + step * v for i, (x, v) in enumerate(zip(case.inputs(), bottoms, strict=True))}
    start = case.param_values(_shaped(case))
    moved: Mapping[str, Any] = {name: value + step * params.get(name, 0) for name, value in start.items()}
    run = Run(replace(case, values=values, params=moved), variant).forward()
    return sum(float((y * dy).sum()) for y, dy in zip(run.y, run.dy, strict=True) if dy.any())


def _shaped(case: LayerCase) -> Any:
    layer = case.layer()
    layer.infer(list(case.shapes))
    return layer
