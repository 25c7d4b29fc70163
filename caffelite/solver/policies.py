"""Learning rate policies: the rate of an iteration from the solver's parameters.

With b = base_lr, g = gamma, i = the iteration (counted from 0) and s = the steps that multistep has
taken:

========== ==================================== ============================================================
fixed      b
step       b * g ^ floor(i / stepsize)
exp        b * g ^ i
inv        b * (1 + g * i) ^ -power
multistep  b * g ^ s                            s goes up by one when i reaches the next ``stepvalue``
poly       b * (1 - i / max_iter) ^ power       0 at max_iter
sigmoid    b / (1 + e ^ (-g * (i - stepsize)))  rises to b: gamma is never negative
========== ==================================== ============================================================

Source: ``SGDSolver::GetLearningRate`` of BVLC Caffe's ``sgd_solver.cpp``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from caffelite.errors import NotFiniteError, UsageError
from caffelite.prototxt.suggest import suggestion
from caffelite.solver.objections import Objection

# A policy takes a SolverParameter, the iteration, and the steps that multistep has taken.
Policy = Callable[[Any, int, int], float]


def fixed(p: Any, iteration: int, steps: int) -> float:
    """b"""
    return float(p.base_lr)


def step(p: Any, iteration: int, steps: int) -> float:
    """b * g ^ floor(i / stepsize)"""
    return float(p.base_lr * p.gamma ** (iteration // p.stepsize))


def exp(p: Any, iteration: int, steps: int) -> float:
    """b * g ^ i"""
    return float(p.base_lr * p.gamma**iteration)


def inv(p: Any, iteration: int, steps: int) -> float:
    """b * (1 + g * i) ^ -power"""
    return float(p.base_lr * (1 + p.gamma * iteration) ** -p.power)


def multistep(p: Any, iteration: int, steps: int) -> float:
    """b * g ^ s"""
    return float(p.base_lr * p.gamma**steps)


def poly(p: Any, iteration: int, steps: int) -> float:
    """b * (1 - i / max_iter) ^ power; past max_iter, where Caffe's is NaN, a UsageError."""
    if iteration > p.max_iter:
        raise UsageError(
            f'lr_policy "poly" has no rate for iteration {iteration}: it ends at max_iter {p.max_iter}\n'
            "  Fix: raise max_iter"
        )
    return float(p.base_lr * (1 - iteration / p.max_iter) ** p.power)


def sigmoid(p: Any, iteration: int, steps: int) -> float:
    """b / (1 + e ^ (-g * (i - stepsize))), without overflow."""
    away = p.gamma * (iteration - p.stepsize)
    e = math.exp(-abs(away))
    return float(p.base_lr * (1 if away >= 0 else e) / (1 + e))


POLICIES: dict[str, Policy] = {
    "fixed": fixed,
    "step": step,
    "exp": exp,
    "inv": inv,
    "multistep": multistep,
    "poly": poly,
    "sigmoid": sigmoid,
}


def learning_rate(p: Any, iteration: int, steps: int = 0) -> float:
    """The rate of an iteration; ``steps`` as ``current_step`` gives them.

    Raises NotFiniteError where gamma makes it overflow, and UsageError for poly after max_iter.
    """
    try:
        rate = POLICIES[p.lr_policy](p, iteration, steps)
    except (OverflowError, ZeroDivisionError):
        rate = math.inf
    if not math.isfinite(rate):
        raise NotFiniteError(
            f'iteration {iteration}: the learning rate of lr_policy "{p.lr_policy}" with gamma {p.gamma:g}, '
            f"power {p.power:g} is not finite"
        )
    return rate


def current_step(p: Any, iteration: int, before: int) -> int:
    """The steps that multistep has taken when the rate of an iteration is asked for; 0 for other policies.

    As in Caffe it is one more than ``before`` at most, even where several stepvalues have passed.
    """
    if p.lr_policy != "multistep":
        return before
    due = before < len(p.stepvalue) and iteration >= p.stepvalue[before]
    return before + due


def objections(p: Any) -> Iterator[Objection]:
    """What is wrong with a solver's policy."""
    name = p.lr_policy
    if name not in POLICIES:
        hint = suggestion(name, POLICIES)
        yield Objection("lr_policy", f"one of {', '.join(POLICIES)}", f"'{name}'{hint}")
    if name in ("step", "sigmoid") and p.stepsize <= 0:
        yield Objection("stepsize", f'stepsize > 0 with lr_policy "{name}"', p.stepsize)
    if name in ("step", "exp", "inv", "multistep", "sigmoid") and p.gamma < 0:
        yield Objection("gamma", f'gamma >= 0 with lr_policy "{name}"', f"{p.gamma:g}")
    if name == "poly" and p.max_iter <= 0:
        yield Objection("max_iter", 'max_iter > 0 with lr_policy "poly"', p.max_iter)
