"""What policies and rules have against a solver's parameters, before its place in a file is known."""

from __future__ import annotations

from typing import NamedTuple


class Objection(NamedTuple):
    """One wrong field: what was expected of it, what it is, and the cure if there is one to name."""

    field: str
    expected: str
    got: object
    fix: str = ""

    def __str__(self) -> str:
        return f"expected {self.expected}, got {self.got}"
