"""Learning rate policies: the rate of an iteration from the solver's parameters.

With b = base_lr, m = min_lr, g = gamma, i = the iteration (counted from 0) and s = the steps that multistep or
plateau has taken:

========== ========================================= ========================================================
fixed      b
step       b * g ^ floor(i / stepsize)
exp        b * g ^ i
inv        b * (1 + g * i) ^ -power
multistep  b * g ^ s                                 s goes up by one when i reaches the next ``stepvalue``
poly       m + (b - m) * (1 - i / max_iter) ^ power  m at max_iter
sigmoid    b / (1 + e ^ (-g * (i - stepsize)))       rises to b: gamma is never negative
plateau    b * g ^ s                                 s goes up by one where the loss makes no progress: schedule.py
multifixed stagelr[k]                                k is the first stage with i <= stageiter[k], or the last
cosine     m + (b - m) * (1 + cos(pi i / max_iter)) / 2
========== ========================================= ========================================================

Before all of them a warm-up may stand, rampup_lr + (b - rampup_lr) * i / rampup_interval while i < rampup_interval
(the policy then goes on with i as it is), and no rate is below m.

Sources: ``SGDSolver::GetLearningRate`` of BVLC Caffe's ``sgd_solver.cpp``; for plateau that of SSD, for multifixed
that of Intel's fork, for warm-up and min_lr that of NVIDIA's fork 0.16 (0.17 squares i / rampup_interval); Loshchilov
and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, arXiv 1608.03983, for cosine, here without
restarts.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from caffelite.errors import NotFiniteError, UsageError
from caffelite.prototxt.suggest import suggestion
from caffelite.solver.objections import Objection

# A policy takes a SolverParameter, the iteration, and the steps that multistep or plateau has taken.
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
    """m + (b - m) * (1 - i / max_iter) ^ power; past max_iter, where Caffe's is NaN, a UsageError."""
    return float((p.base_lr - p.min_lr) * (1 - _way(p, iteration)) ** p.power + p.min_lr)


def cosine(p: Any, iteration: int, steps: int) -> float:
    """m + (b - m) * (1 + cos(pi i / max_iter)) / 2; past max_iter, where it would rise, a UsageError."""
    return float((p.base_lr - p.min_lr) * (1 + math.cos(math.pi * _way(p, iteration))) / 2 + p.min_lr)


def _way(p: Any, iteration: int) -> float:
    """How much of the run is done, from 0 to 1."""
    if iteration > p.max_iter:
        raise UsageError(
            f'lr_policy "{p.lr_policy}" has no rate for iteration {iteration}: it ends at max_iter {p.max_iter}\n'
            "  Fix: raise max_iter"
        )
    return float(iteration / p.max_iter)


def multifixed(p: Any, iteration: int, steps: int) -> float:
    """The ``stagelr`` of the first stage that lasts as long, of the last stage after all."""
    return float(p.stagelr[min(bisect_left(p.stageiter, iteration), len(p.stagelr) - 1)])


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
    "plateau": multistep,
    "multifixed": multifixed,
    "cosine": cosine,
}


@dataclass(frozen=True)
class WarmUp:
    """A linear way from ``start`` to base_lr in the first ``length`` iterations."""

    length: int
    start: float


def warm_up(p: Any) -> WarmUp:
    """The warm-up of a solver, in NVIDIA's or Intel's words; of length 0 if it has none."""
    if p.warmup_iter:
        return WarmUp(p.warmup_iter, p.warmup_start_lr)
    return WarmUp(p.rampup_interval, p.rampup_lr)


def learning_rate(p: Any, iteration: int, steps: int = 0) -> float:
    """The rate of an iteration; ``steps`` as the schedule counts them.

    Raises NotFiniteError where gamma makes it overflow, and UsageError for poly and cosine after max_iter.
    """
    warm = warm_up(p)
    if iteration < warm.length:
        rate = warm.start + (p.base_lr - warm.start) * iteration / warm.length
    else:
        rate = _policy_rate(p, iteration, steps)
    return float(max(rate, p.min_lr) if p.min_lr else rate)


def _policy_rate(p: Any, iteration: int, steps: int) -> float:
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


def objections(p: Any) -> Iterator[Objection]:
    """What is wrong with a solver's policy."""
    name = p.lr_policy
    if name not in POLICIES:
        hint = suggestion(name, POLICIES)
        expected = f"one of {', '.join(POLICIES)}" if name else f"an lr_policy: {', '.join(POLICIES)}"
        yield Objection("lr_policy", expected, f"'{name}'{hint}" if name else "none")
    if name in ("step", "sigmoid") and p.stepsize <= 0:
        got = p.stepsize or "0 (as where none is given)"
        fix = "stepsize: N, the iterations between two steps" if name == "step" else ""
        yield Objection("stepsize", f'stepsize > 0 with lr_policy "{name}"', got, fix)
    if name in ("step", "exp", "inv", "multistep", "sigmoid", "plateau") and p.gamma < 0:
        yield Objection("gamma", f'gamma >= 0 with lr_policy "{name}"', f"{p.gamma:g}")
    if name in ("poly", "cosine") and p.max_iter <= 0:
        yield Objection("max_iter", f'max_iter > 0 with lr_policy "{name}"', p.max_iter)
    if name == "plateau" and (not p.plateau_winsize or min(p.plateau_winsize) <= 0):
        expected = 'plateau_winsize > 0, one for each step down, with lr_policy "plateau"'
        yield Objection("plateau_winsize", expected, list(p.plateau_winsize) or "none")
    if name == "multifixed":
        yield from _stages(p)
    yield from _limits(p)


def remarks(p: Any) -> Iterator[str]:
    """What to say of a policy that Caffe would follow without a word, and whose author forgot a number."""
    name = p.lr_policy
    if name in ("step", "multistep", "plateau") and not p.gamma:
        yield f'gamma is 0 or not given: the learning rate of lr_policy "{name}" is 0 after its first step'
    if name == "exp" and not p.gamma:
        yield 'gamma is 0 or not given: the learning rate of lr_policy "exp" is 0 after the first iteration'
    if name == "multistep" and not p.stepvalue:
        yield 'no stepvalue is given: the learning rate of lr_policy "multistep" stays at base_lr'
    for field in {"inv": ("gamma", "power"), "poly": ("power",)}.get(name, ()):
        if not getattr(p, field):
            yield f'{field} is 0 or not given: the learning rate of lr_policy "{name}" stays at base_lr'


def _stages(p: Any) -> Iterator[Objection]:
    rates, ends = list(p.stagelr), list(p.stageiter)
    if not rates or len(rates) != len(ends):
        expected = 'as many stagelr as stageiter, at least one, with lr_policy "multifixed"'
        yield Objection("stagelr", expected, f"{len(rates)} and {len(ends)}")
    if ends != sorted(ends):
        yield Objection("stageiter", "rising numbers in stageiter", ends)


def _limits(p: Any) -> Iterator[Objection]:
    """Against the warm-up and the least rate."""
    if p.rampup_interval and p.warmup_iter:
        yield Objection("warmup_iter", "either rampup_interval or warmup_iter, which mean the same", "both")
    for field in ("rampup_interval", "rampup_lr", "warmup_iter", "warmup_start_lr", "min_lr"):
        if getattr(p, field) < 0:
            yield Objection(field, f"{field} >= 0", f"{getattr(p, field):g}")
    if p.lr_policy != "multifixed" and p.min_lr and p.min_lr > p.base_lr:
        yield Objection("min_lr", f"min_lr <= base_lr ({p.base_lr:g})", f"{p.min_lr:g}")
