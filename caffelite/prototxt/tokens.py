"""The tokens of protobuf's text format.

A token is ``(kind, text, offset)``. Symbols ``{ } < > [ ] : ; , -`` are their own kind; the others are
``word``, ``number`` (anything that starts like one, checked when its field is known), ``string`` (in its
quotes), ``unclosed`` (a string without its closing quote), ``bad`` (any other character; also a comment in
C++'s form to the end of its line) and, once and last, ``end``.
"""

from __future__ import annotations

import re
from typing import TypeAlias

Token: TypeAlias = tuple[str, str, int]

_TOKEN = re.compile(
    r"""(?:\s++|\#[^\n]*+)*+               # white space and comments
    (?:(?P<word>[A-Za-z_]\w*)
      |(?P<symbol>[{}<>\[\]:;,-])
      |(?P<string>"(?:[^"\\\n]|\\[^\n])*+"|'(?:[^'\\\n]|\\[^\n])*+')
      |(?P<number>\.?\d(?:[eE][+-]|[\w.])*)
      |(?P<unclosed>["'][^\n]*)
      |(?P<bad>//[^\n]*|.)
      |\Z)""",
    re.ASCII | re.VERBOSE | re.DOTALL,
)

OPENERS = frozenset("{<[")
CLOSERS = frozenset("}>]")


def tokenize(text: str) -> list[Token]:
    """All tokens of a text; never fails."""
    tokens: list[Token] = []
    start: int | None = 0
    while start is not None:
        start = _tokenize(text, start, tokens)
    tokens.append(("end", "", len(text)))
    return tokens


def _tokenize(text: str, start: int, tokens: list[Token]) -> int | None:
    """Appends tokens up to the end, or to an unclosed string: then where to go on, before any closers."""
    for match in _TOKEN.finditer(text, start):
        kind = match.lastgroup
        if kind is None:
            break
        found = match[kind]
        if kind == "symbol":
            kind = found
        elif kind == "unclosed":
            found = found.rstrip(" \t\r}>];,") or found[0]
            tokens.append((kind, found, match.start(kind)))
            return match.start(kind) + len(found)
        tokens.append((kind, found, match.start(match.lastgroup or 0)))
    return None


def balance(tokens: list[Token]) -> int:
    """How many more messages are opened than closed; below 0 if more are closed."""
    return sum((kind in "{<") - (kind in "}>") for kind, _, _ in tokens if len(kind) == 1)


def shown(text: str, limit: int = 40) -> str:
    """A token as messages print it: on one line, quoted, not too long, without stray bytes."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    printable = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
    return printable if printable[:1] in "\"'" and printable else f"'{printable}'"
