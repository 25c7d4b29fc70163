"""What an update rule is: how a gradient becomes the amount that is taken off a weight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from caffelite.solver.objections import Objection


class Rule:
    """One way to update. A rule holds its constants; the history belongs to whoever calls it.

    In formulas w are the weights, g their gradient (regularised), u the update (w := w - u), lr the learning
    rate times the blob's lr_mult. All arrays are flat and of one float dtype.

    ``histories``: how many arrays are kept for each blob. ``rate_in_history``: gradients enter the history
    times lr, so that nothing comes in where lr is 0.
    """

    histories: ClassVar[int] = 1
    rate_in_history: ClassVar[bool] = False

    def __init__(self, p: Any):
        self.p = p

    @classmethod
    def objections(cls, p: Any) -> Iterator[Objection]:
        """What in a SolverParameter does not go with the rule."""
        yield from ()

    def rate(self, rate: float, iteration: int) -> float:
        """The learning rate with the rule's own correction for an iteration (counted from 0)."""
        return rate

    def update(self, xp: Any, lr: float, g: Any, *history_and_scratch: Any) -> None:
        """Turns g into u in place and brings the history forward; the last array is scratch."""
        raise NotImplementedError(f"{type(self).__name__} has no update()")


def no_momentum(p: Any, type_: str) -> Iterator[Objection]:
    """AdaGrad and RMSProp know no momentum."""
    if p.momentum != 0:
        fix = 'remove momentum, or use type: "Adam"'
        yield Objection("momentum", f'momentum 0 with type "{type_}"', f"{p.momentum:g}", fix)
