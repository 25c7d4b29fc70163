"""AdaGrad: rates that shrink with all squared gradients so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from caffelite.solver.objections import Objection
from caffelite.solver.rules.base import Rule, no_momentum


class AdaGrad(Rule):
    """h := h + g^2;  u = lr * g / (sqrt(h) + delta).

    Source: ``adagrad_solver.cpp`` of BVLC Caffe.
    Reference: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", 2011.
    """

    @classmethod
    def objections(cls, p: Any) -> Iterator[Objection]:
        yield from no_momentum(p, "AdaGrad")

    def update(self, xp: Any, lr: float, g: Any, h: Any, scratch: Any) -> None:
        xp.multiply(g, g, out=scratch)
        h += scratch
        xp.sqrt(h, out=scratch)
        scratch += self.p.delta
        g /= scratch
        g *= lr
