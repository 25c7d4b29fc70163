"""Adam: running first and second moments, corrected for their start at zero."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import Any

from caffelite.solver.objections import Objection
from caffelite.solver.rules.base import Rule


class Adam(Rule):
    """m := b1 m + (1 - b1) g;  v := b2 v + (1 - b2) g^2;  u = lr * c * m / (sqrt(v) + delta).

    b1 is ``momentum``, b2 ``momentum2``, c = sqrt(1 - b2^t) / (1 - b1^t) with t = iteration + 1. delta stands
    outside the correction, as in Caffe (and unlike PyTorch's eps).

    Source: ``adam_solver.cpp`` of BVLC Caffe.
    Reference: Kingma and Ba, "Adam: a method for stochastic optimization", 2014, arXiv 1412.6980.
    """

    histories = 2

    @classmethod
    def objections(cls, p: Any) -> Iterator[Objection]:
        for field in ("momentum", "momentum2"):
            value = getattr(p, field)
            if not 0 <= value < 1:
                yield Objection(field, f'{field} from 0 to below 1 with type "Adam"', f"{value:g}")

    def rate(self, rate: float, iteration: int) -> float:
        t = iteration + 1
        return rate * sqrt(1 - self.p.momentum2**t) / float(1 - self.p.momentum**t)

    def update(self, xp: Any, lr: float, g: Any, m: Any, v: Any, scratch: Any) -> None:
        b1, b2 = self.p.momentum, self.p.momentum2
        m *= b1
        xp.multiply(g, 1 - b1, out=scratch)
        m += scratch
        v *= b2
        g *= g
        g *= 1 - b2
        v += g
        xp.sqrt(v, out=scratch)
        scratch += self.p.delta
        xp.divide(m, scratch, out=g)
        g *= lr
