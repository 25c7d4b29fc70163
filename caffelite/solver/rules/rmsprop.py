"""RMSProp: rates divided by a running root mean square of the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from caffelite.solver.objections import Objection
from caffelite.solver.rules.base import Rule, no_momentum


class RmsProp(Rule):
    """h := rms_decay * h + (1 - rms_decay) * g^2;  u = lr * g / (sqrt(h) + delta).

    Source: ``rmsprop_solver.cpp`` of BVLC Caffe.
    Reference: Tieleman and Hinton, "RMSProp", Coursera lecture 6.5, 2012.
    """

    @classmethod
    def objections(cls, p: Any) -> Iterator[Objection]:
        yield from no_momentum(p, "RMSProp")
        if not 0 <= p.rms_decay < 1:
            yield Objection("rms_decay", "rms_decay from 0 to below 1", f"{p.rms_decay:g}")

    def update(self, xp: Any, lr: float, g: Any, h: Any, scratch: Any) -> None:
        xp.multiply(g, g, out=scratch)
        scratch *= 1 - self.p.rms_decay
        h *= self.p.rms_decay
        h += scratch
        xp.sqrt(h, out=scratch)
        scratch += self.p.delta
        g /= scratch
        g *= lr
