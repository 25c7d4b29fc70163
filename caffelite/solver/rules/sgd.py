"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

from caffelite.solver.rules.base import Rule


class Sgd(Rule):
    """h := momentum * h + lr * g;  u = h.

    The rate is inside the history: after it drops, earlier steps go on at their old rate (PyTorch's SGD
    multiplies outside and differs there).

    Source: ``sgd_solver.cpp`` of BVLC Caffe.
    """

    rate_in_history = True

    def update(self, xp: Any, lr: float, g: Any, h: Any, scratch: Any) -> None:
        h *= self.p.momentum
        g *= lr
        h += g
        g[...] = h
