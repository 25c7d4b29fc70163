"""Tells the file of a solver from that of a net by its outermost names."""

from __future__ import annotations

from collections.abc import Iterator

from caffelite.prototxt.schema import message_type
from caffelite.prototxt.text import read_text
from caffelite.prototxt.tokens import CLOSERS, OPENERS, tokenize


def kind_of(text: str | bytes) -> str:
    """``SolverParameter`` or ``NetParameter``: which has more of a text's outermost names; empty for a tie."""
    names = set(_outer_names(text.decode("utf-8", "replace") if isinstance(text, bytes) else text))
    solver, net = (
        len(names & set(message_type(name).fields)) for name in ("SolverParameter", "NetParameter")
    )
    return "" if solver == net else "SolverParameter" if solver > net else "NetParameter"


def net_of_solver(text: str | bytes) -> str:
    """``"; its net is 'x'"`` for the text of a solver that names a net's file, or nothing."""
    solver = read_text(text, "SolverParameter").message
    file = solver.net or solver.train_net
    return f"; its net is '{file}'" if file else ""


def _outer_names(text: str) -> Iterator[str]:
    depth = 0
    for kind, word, _ in tokenize(text):
        depth += (kind in OPENERS) - (kind in CLOSERS)
        if kind == "word" and not depth:
            yield word
