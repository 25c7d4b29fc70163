"""A pass through a net in which layers decide the shapes of their tops by the values they are given.

Filter keeps some items, DetectionOutput finds a number of boxes, a Python layer does what it likes. Up to such a
layer the plan at hand computes; then the layer measures, and if its tops' shapes are new the net goes on with a
plan for these. The shapes of one pass are the first guess for the next, so a net that settles plans no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from caffelite.executor import Executor
from caffelite.types import Shape


class Measuring(Protocol):
    """What a net offers for such a pass."""

    executor: Executor  # of the plan at hand
    measuring: list[int]  # positions of the layers that measure

    def take_measured(self, index: int, shapes: Sequence[Shape]) -> None:
        """Goes over to a plan in which the tops of a layer have these shapes."""


def forward_measured(model: Measuring, start: int, end: int | None) -> float:
    """Runs layers ``start`` to ``end`` (positions, inclusive) of a net that measures; returns their part of the loss."""
    last = len(model.executor.plan.steps) - 1
    end = last if end is None else end
    whole, entered = (start, end) == (0, last), start > 0
    begin, measured = start, None
    for index in model.measuring:
        if start <= index <= end:
            model.executor.run(begin, index - 1, whole=whole, entered=entered, measured=measured)
            model.take_measured(index, model.executor.measure(index, entered=entered))
            begin = measured = index
    model.executor.run(begin, end, whole=whole, entered=entered, measured=measured)
    return model.executor.finish(start, end)
