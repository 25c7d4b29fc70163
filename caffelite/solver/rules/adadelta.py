"""AdaDelta: steps in proportion to the root mean square of earlier steps."""

from __future__ import annotations

from typing import Any

from caffelite.solver.rules.base import Rule


class AdaDelta(Rule):
    """h := m h + (1 - m) g^2;  r = g sqrt((s + delta) / (h + delta));  s := m s + (1 - m) r^2;  u = lr * r.

    m is ``momentum``, which here is the decay of both averages.

    Source: ``adadelta_solver.cpp`` of BVLC Caffe.
    Reference: Zeiler, "ADADELTA: an adaptive learning rate method", 2012, arXiv 1212.5701.
    """

    histories = 2

    def update(self, xp: Any, lr: float, g: Any, h: Any, s: Any, scratch: Any) -> None:
        decay, delta = self.p.momentum, self.p.delta
        xp.multiply(g, g, out=scratch)
        _average(h, scratch, decay)
        xp.add(h, delta, out=scratch)
        xp.sqrt(scratch, out=scratch)
        g /= scratch
        xp.add(s, delta, out=scratch)
        xp.sqrt(scratch, out=scratch)
        g *= scratch
        xp.multiply(g, g, out=scratch)
        _average(s, scratch, decay)
        g *= lr


def _average(mean: Any, new: Any, decay: float) -> None:
    """Moves a running mean; ``new`` is used up."""
    mean *= decay
    new *= 1 - decay
    mean += new
