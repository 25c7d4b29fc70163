"""Nesterov's accelerated gradient."""

from __future__ import annotations

from typing import Any

from caffelite.solver.rules.base import Rule


class Nesterov(Rule):
    """h' := momentum * h + lr * g;  u = (1 + momentum) * h' - momentum * h.

    Source: ``nesterov_solver.cpp`` of BVLC Caffe.
    Reference: Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep
    learning", 2013.
    """

    rate_in_history = True

    def update(self, xp: Any, lr: float, g: Any, h: Any, scratch: Any) -> None:
        momentum = self.p.momentum
        h *= momentum
        scratch[...] = h
        g *= lr
        h += g
        xp.multiply(h, 1 + momentum, out=g)
        g -= scratch
