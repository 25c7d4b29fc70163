"""What is wrong with annotations: collected while a set is read, then told together.

Something that can be read sensibly is a warning, told once for each kind; the rest are errors, raised together.
``caffelite det check`` lists all of both.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from caffelite.errors import DataError

_log = logging.getLogger(__name__)

_SHOWN = 20  # errors in one message


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. ``place``: file, and line where the format has lines. ``kind``: what it is a case of."""

    kind: str
    place: str
    text: str
    fix: str = ""
    error: bool = False

    def __str__(self) -> str:
        line = f"{self.place}: {self.text}" if self.place else self.text
        return f"{line}\n  Fix: {self.fix}" if self.fix else line


@dataclass
class Findings:
    """The findings of a set in the order in which they were made."""

    all: list[Finding] = field(default_factory=list)

    def warn(self, kind: str, place: str, text: str, fix: str = "") -> None:
        """Notes what was read all the same."""
        self.all.append(Finding(kind, place, text, fix))

    def refuse(self, kind: str, place: str, text: str, fix: str = "") -> None:
        """Notes what could not be read."""
        self.all.append(Finding(kind, place, text, fix, error=True))

    def refuse_error(self, kind: str, error: DataError, place: str = "") -> None:
        """Notes an error that a reader raised; without a ``place`` its text begins with one."""
        text, _, fix = str(error).partition("\n  Fix: ")
        if not place:
            place, _, text = text.partition(": ")
        self.refuse(kind, place, text, fix)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.all)

    def by_kind(self) -> dict[str, list[Finding]]:
        """The findings of each kind, in the order of their first ones."""
        found: dict[str, list[Finding]] = {}
        for finding in self.all:
            found.setdefault(finding.kind, []).append(finding)
        return found

    def tell(self, path: str) -> None:
        """Logs one warning of each kind; raises the errors, if there are any. ``path``: of the set.

        Raises:
            DataError: something could not be read; names file, line and cure.
        """
        errors = [finding for finding in self.all if finding.error]
        if errors:
            rest = len(errors) - _SHOWN
            more = f"\nand {rest} more; 'caffelite det check {path}' lists all" if rest > 0 else ""
            raise DataError("\n".join(map(str, errors[:_SHOWN])) + more)
        for found in self.by_kind().values():
            count = len(found) - 1
            more = f"\n  and {count} more like it; 'caffelite det check {path}' lists all" if count else ""
            _log.warning("%s%s", found[0], more)
