"""The best test of a run: which output decides, whether a test is better, and for how long none was.

``keep_best: true`` in the solver file keeps the weights of the best test in ``PREFIX_best.caffemodel``, and
``patience: 5`` ends a run after five tests in a row that were not better. Both look at one number of the tests:

monitor        name of a test net's output; the first test net that has it counts, and the first number if it has
               several. Without it: an output of an Accuracy layer, else one with a loss weight.
monitor_mode   ``max`` or ``min``. Without it: max for an Accuracy layer, min for a loss weight.
min_delta      by how much a score must differ from the best one to be better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caffelite.errors import Problem, PrototxtError
from caffelite.graph.graph import Graph, Value
from caffelite.logs.log import number
from caffelite.prototxt.source import SolverSource
from caffelite.prototxt.suggest import suggestion
from caffelite.solver.lines import Lines
from caffelite.solver.objections import Objection
from caffelite.solver.testing import Scores
from caffelite.types import Location

_MODES = ("max", "min")


@dataclass(frozen=True)
class Monitor:
    """The number that decides: an output of the test net at position ``net``, and whether more is better."""

    net: int
    output: str
    higher: bool

    def score(self, scores: Sequence[Scores]) -> float:
        """The number in the scores of all test nets."""
        return scores[self.net][self.output]


class Best:
    """The best score so far. ``p`` is the SolverParameter; without a monitor no test is better or worse."""

    def __init__(self, p: Any, monitor: Monitor | None, lines: Lines):
        self.p, self.monitor, self._lines = p, monitor, lines
        self.score: float | None = None
        self.iteration = self._judged = -1  # of the best test, of the last one
        self.misses = 0  # tests since the best one

    def judge(self, iteration: int, scores: Sequence[Scores]) -> bool:
        """Whether the test is the best so far. One that is run again at the same iteration counts once."""
        if self.monitor is None:
            return False
        score, again = self.monitor.score(scores), iteration == self._judged
        self._judged = iteration
        if not self._is_better(score):
            self.misses += not again
            return False
        self._lines.best(iteration, self.monitor.output, score, str(self))
        self.score, self.iteration, self.misses = score, iteration, 0
        return True

    def _is_better(self, score: float) -> bool:
        if self.score is None:
            return not math.isnan(score)
        gain = score - self.score if self.monitor and self.monitor.higher else self.score - score
        return bool(gain > self.p.min_delta)

    @property
    def exhausted(self) -> bool:
        """Whether as many tests in a row as ``patience`` allows were not better."""
        return bool(0 < self.p.patience <= self.misses)

    def gives_up(self, iteration: int) -> bool:
        """Says so in the log if the run is to end here."""
        if self.exhausted:
            self._lines.out_of_patience(iteration, self.misses, str(self))
        return self.exhausted

    def __str__(self) -> str:
        if self.score is None:
            return "none before"
        return f"best before: {number(self.score)} at iteration {self.iteration}"

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        if self.monitor is None:
            return {}
        return {
            "output": self.monitor.output, "score": self.score, "iteration": self.iteration,
            "judged": self._judged, "misses": self.misses,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave; the score of another output is forgotten."""
        if self.monitor is not None and state.get("output") == self.monitor.output:
            self.score, self.iteration = state["score"], state["iteration"]
            self._judged, self.misses = state["judged"], state["misses"]


def find_monitor(source: SolverSource, nets: Sequence[Graph]) -> Monitor | None:
    """What decides in a run that tests ``nets``; None if nothing depends on it.

    Raises PrototxtError for an output that is not there.
    """
    p = source.message
    if not (p.keep_best or p.patience):
        return None
    found = next(_candidates(p, nets), None)
    if found is None:
        raise _no_monitor(source, nets)
    net, value = found
    mode = p.monitor_mode or _natural_mode(value)
    if not mode:
        expected = f"monitor_mode max or min, since '{value.name}' is neither an accuracy nor a loss"
        raise _problem(source, "monitor", f"expected {expected}", 'say which is better: monitor_mode: "max"')
    return Monitor(net, value.name, mode == "max")


def objections(p: Any) -> Iterator[Objection]:
    """What is wrong in a solver file that is to keep the best test or to end early."""
    if p.monitor_mode not in ("", *_MODES):
        hint = suggestion(p.monitor_mode, _MODES)
        yield Objection("monitor_mode", "monitor_mode max or min", f"'{p.monitor_mode}'{hint}")
    if p.min_delta < 0:
        yield Objection("min_delta", "min_delta >= 0", f"{p.min_delta:g}")
    for field in ("keep_best", "patience"):
        if getattr(p, field) and not any(p.test_iter):
            fix = "add test_iter and test_interval, and a test net"
            yield Objection(field, f"a test_iter, since there is {field}", "none", fix)
    if p.keep_best and not p.snapshot_prefix:
        yield Objection(
            "keep_best", "a snapshot_prefix beside keep_best", "none", 'add snapshot_prefix: "path/name"'
        )


def _candidates(p: Any, nets: Sequence[Graph]) -> Iterator[tuple[int, Value]]:
    """Outputs that can decide, with the positions of their nets, first choice first."""
    for index, net in enumerate(nets):
        blobs = net.blobs
        outputs = [blobs[name] for name in net.outputs if p.test_iter[index]]
        if p.monitor:
            yield from ((index, value) for value in outputs if value.name == p.monitor)
        else:
            for mode in _MODES:  # an accuracy before a loss
                yield from ((index, value) for value in outputs if _natural_mode(value) == mode)


def _natural_mode(value: Value) -> str:
    """``max`` for an accuracy, ``min`` for a loss, nothing for any other output."""
    if value.producer.type == "Accuracy":
        return "max"
    return "min" if value.loss_weight else ""


def _no_monitor(source: SolverSource, nets: Sequence[Graph]) -> PrototxtError:
    monitor, names = source.message.monitor, sorted({name for net in nets for name in net.outputs})
    listed = f"expected the name of a test net's output ({', '.join(names) or 'there are none'})"
    if monitor:
        return _problem(source, "monitor", f"{listed}, got '{monitor}'{suggestion(monitor, names)}")
    text = f"{listed} in monitor, since no output is an accuracy or a loss"
    return _problem(source, "keep_best" if source.message.keep_best else "patience", text)


def _problem(source: SolverSource, field: str, text: str, fix: str = "") -> PrototxtError:
    return PrototxtError([Problem(source.where.at(field) or Location(source.file or "solver"), text, fix)])
