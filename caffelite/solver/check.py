"""All that can be wrong with a solver file before a net is built, found at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from caffelite.errors import Problem, PrototxtError
from caffelite.prototxt.source import SolverSource
from caffelite.prototxt.suggest import suggestion
from caffelite.solver import best, policies
from caffelite.solver.nets import TRAIN_FIELDS, test_net_count
from caffelite.solver.objections import Objection
from caffelite.solver.rules import RULES
from caffelite.types import Location

_AT_LEAST = {
    "iter_size": 1,
    "average_loss": 1,
    "max_iter": 0,
    "snapshot": 0,
    "test_interval": 0,
    "patience": 0,
}
_LAST_OF_CAFFE, _FIRST_OF_OURS = 42, 6000  # numbers between are forks' fields
_FORKS_THAT_COUNT = {
    "eval_type", "plateau_winsize", "stagelr", "stageiter", "rampup_interval", "rampup_lr", "warmup_iter",
    "warmup_start_lr", "min_lr",
}  # fmt: skip
_GPU = 1  # SolverParameter.SolverMode


def check_solver(source: SolverSource) -> list[Problem]:
    """Everything wrong with a solver's parameters, each with its place."""
    return [
        Problem(source.where.at(found.field) or Location(source.file or "solver"), str(found), found.fix)
        for found in _objections(source.message)
    ]


def require_valid(source: SolverSource) -> None:
    """Raises PrototxtError with all problems."""
    problems = check_solver(source)
    if problems:
        raise PrototxtError(problems)


def remarks(p: Any, engine: str) -> Iterator[tuple[str, str]]:
    """(severity, text) of what a valid solver asks for in vain on an engine."""
    if p.HasField("solver_mode") and p.solver_mode == _GPU and engine != "cuda":
        yield "I", f"solver_mode: GPU has no effect: the engine is '{engine}'"
    if not p.base_lr and p.lr_policy != "multifixed":
        yield "W", "base_lr is 0 or not given: no parameter will learn"
    yield from (("W", text) for text in policies.remarks(p))
    if not (p.keep_best or p.patience):
        for name in ("monitor", "monitor_mode", "min_delta"):
            if p.HasField(name):
                yield "W", f"{name} has no effect without keep_best or patience"
    for name in unused_fields(p):
        yield "W", f"{name} is a field of a fork of Caffe and has no effect here"


def unused_fields(p: Any) -> list[str]:
    """Fields of Caffe's forks that are given and change nothing here."""
    names = (field.name for field, _ in p.ListFields() if _LAST_OF_CAFFE < field.number < _FIRST_OF_OURS)
    return [name for name in names if name not in _FORKS_THAT_COUNT]


def _objections(p: Any) -> Iterator[Objection]:
    yield from _nets(p)
    yield from _tests(p)
    yield from policies.objections(p)
    yield from best.objections(p)
    yield from _rule(p)
    for field, least in _AT_LEAST.items():
        if getattr(p, field) < least:
            yield Objection(field, f"{field} >= {least}", getattr(p, field))
    if p.clip_gradients == 0:
        yield Objection("clip_gradients", "clip_gradients > 0", 0, "leave it out for no limit")
    if p.snapshot > 0 and not p.snapshot_prefix:
        fix = 'add snapshot_prefix: "path/name"'
        yield Objection("snapshot", "a snapshot_prefix beside snapshot", "none", fix)
    if p.eval_type != "classification":
        yield Objection("eval_type", 'eval_type "classification"', f"'{p.eval_type}'")


def _nets(p: Any) -> Iterator[Objection]:
    given = [field for field in TRAIN_FIELDS if p.HasField(field)]
    if len(given) != 1:
        choice = f"exactly one of {', '.join(TRAIN_FIELDS)} to train"
        yield Objection(given[1] if given else "net", choice, " and ".join(given) or "none of them")


def _tests(p: Any) -> Iterator[Objection]:
    iters, named = len(p.test_iter), len(p.test_net_param) + len(p.test_net)
    general = p.HasField("net") or p.HasField("net_param")
    if (iters < named) if general else (iters != named):
        fix = "" if named else "name the test net in test_net"
        yield Objection("test_iter", f"one test_iter for each of {named} test nets", iters, fix)
        return
    count = test_net_count(p)
    if p.test_state and len(p.test_state) != count:
        expected = f"no test_state or one for each of {count} test nets"
        yield Objection("test_state", expected, len(p.test_state))
    if count and p.test_interval == 0:
        yield Objection("test_interval", "test_interval > 0, since there is a test_iter", 0)
    if any(batches < 0 for batches in p.test_iter):
        yield Objection("test_iter", "test_iter >= 0", list(p.test_iter))


def _rule(p: Any) -> Iterator[Objection]:
    if p.type in RULES:
        yield from RULES[p.type].objections(p)
    else:
        yield Objection("type", f"one of {', '.join(RULES)}", f"'{p.type}'{suggestion(p.type, RULES)}")
    if p.regularization_type not in ("L1", "L2"):
        yield Objection("regularization_type", "L1 or L2", f"'{p.regularization_type}'")
