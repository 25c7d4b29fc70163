"""The learning rate over a run: the policy's formula, and what a policy remembers between iterations.

multistep  takes a step when the iteration reaches the next ``stepvalue``; one an iteration at most, even where several
           have passed.
plateau    takes a step when the smoothed loss has had no new minimum for ``plateau_winsize`` iterations (one entry a
           step; after the last none is taken), counted from the last minimum or step.

While a warm-up lasts nothing is counted. Sources: ``sgd_solver.cpp`` of BVLC Caffe and of SSD.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from caffelite.solver.lines import Lines
from caffelite.solver.policies import learning_rate, warm_up


class Schedule:
    """Gives the rate of each iteration. ``p`` is the SolverParameter; ``step`` are the steps taken so far."""

    def __init__(self, p: Any, lines: Lines):
        self.p, self._lines = p, lines
        self.step = 0
        self._minimum, self._last_event = math.inf, 0  # of plateau: the least loss, the last new one or step

    def advance(self, iteration: int, loss: float) -> float:
        """The rate of an iteration with this smoothed loss, after the steps that are due."""
        if iteration >= warm_up(self.p).length:
            self._take_steps(iteration, loss)
        return learning_rate(self.p, iteration, self.step)

    def peek(self, iteration: int) -> float:
        """The rate that the next iteration will have, unless plateau takes a step at its loss."""
        return learning_rate(self.p, iteration, self.step + self._multistep_is_due(iteration))

    def state(self) -> dict[str, Any]:
        """What goes on besides ``step``, which has a place of its own in Caffe's files."""
        if self.p.lr_policy != "plateau":
            return {}
        known = {"minimum": self._minimum} if math.isfinite(self._minimum) else {}  # JSON has no infinity
        return {"last_event": self._last_event, **known}

    def restore(self, iteration: int, step: int, state: Mapping[str, Any]) -> None:
        """Takes back ``step`` and ``state``; without a state plateau waits anew from this iteration on."""
        self.step = step
        self._minimum = float(state.get("minimum", math.inf))
        self._last_event = int(state.get("last_event", iteration))

    def _take_steps(self, iteration: int, loss: float) -> None:
        if self.p.lr_policy == "step":
            self.step = iteration // self.p.stepsize  # as in the files that Caffe writes
        elif self._multistep_is_due(iteration):
            self.step += 1
            self._lines.multistep(iteration, self.step)
        elif self.p.lr_policy == "plateau":
            self._watch(iteration, loss)

    def _multistep_is_due(self, iteration: int) -> bool:
        values = self.p.stepvalue if self.p.lr_policy == "multistep" else ()
        return bool(self.step < len(values) and iteration >= values[self.step])

    def _watch(self, iteration: int, loss: float) -> None:
        if loss < self._minimum:
            self._minimum, self._last_event = loss, iteration
        windows, display = self.p.plateau_winsize, self.p.display
        if self.step < len(windows) and iteration >= self._last_event + windows[self.step]:
            self.step, self._last_event = self.step + 1, iteration
            self._lines.plateau_step(iteration, self.step)
        if display and iteration % display == 0 and self._last_event > iteration - display:
            self._lines.plateau_minimum(iteration, self._minimum)
