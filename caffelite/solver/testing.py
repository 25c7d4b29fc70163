"""Tests during training: the mean of each output over some batches.

Source: ``Solver::Test`` of BVLC Caffe's ``solver.cpp``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean

from caffelite.model import Model
from caffelite.solver.lines import Output, outputs_of


@dataclass(frozen=True)
class Scores:
    """Means over the batches of a test: the weighted loss, and each number of the net's outputs."""

    loss: float
    outputs: list[Output]

    def __getitem__(self, name: str) -> float:
        """The first number of an output: ``scores["accuracy"]``. Raises KeyError."""
        for output in self.outputs:
            if output.name == name:
                return output.value
        raise KeyError(name)


def run_test(net: Model, batches: int, stop: Callable[[], bool] = lambda: False) -> Scores | None:
    """Runs a net over ``batches`` batches; None if ``stop``, which is asked before each, says so. No batches, no outputs."""
    losses, rows = 0.0, []
    for _ in range(batches):
        if stop():
            return None
        losses += net.forward()
        rows.append(list(outputs_of(net)))
    columns = zip(*rows, strict=True)
    means = [replace(column[0], value=fmean(output.value for output in column)) for column in columns]
    return Scores(losses / max(1, batches), means)
