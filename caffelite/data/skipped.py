"""Records and images that cannot be read: passed over with a warning, up to a limit.

Item i of a run whose record is bad gets the record of item i + 1, i + 2, ... instead, the first one that is
good, which the run thus sees twice. So what a batch holds still follows from its position alone, and resumed
runs and runs with other numbers of workers deliver the same bits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from caffelite.data.owner import Owner
from caffelite.errors import DataError

_log = logging.getLogger(__name__)

_ALLOWED = 10  # bad records of a small data set
_ALLOWED_PART = 100  # one in a hundred of a large one
MAX_IN_A_ROW = 10


class BadRecordError(DataError):
    """A record or an image file that cannot be decoded."""


class Bad(NamedTuple):
    """A record that was passed over: its number, and what it is and why."""

    number: int
    text: str


def too_many_in_a_row(what: str, bad: Sequence[Bad], owner: Owner) -> DataError:
    """The error that gives up after ``MAX_IN_A_ROW`` bad ones, which are the last of ``bad``."""
    first = bad[-MAX_IN_A_ROW].text
    text = f"expected fewer than {MAX_IN_A_ROW} {what} in a row that cannot be read; the first is {first}"
    return owner.error(text, fix="mend the data, or the path to it")


class Skipped:
    """The different bad records that a source has met. ``size``: of the data set."""

    def __init__(self, size: int, owner: Owner):
        self.limit = max(_ALLOWED, size // _ALLOWED_PART)
        self.numbers: set[int] = set()
        self._owner = owner

    def add(self, bad: Iterable[Bad]) -> None:
        """Warns of each one that is new.

        Raises:
            DataError: there are more than the limit: 10, or one percent of the data set if that is more.
        """
        for number, text in bad:
            if number in self.numbers:
                continue
            if len(self.numbers) == self.limit:
                text = f"expected at most {self.limit} records that cannot be read; one more is {text}"
                raise self._owner.error(text, fix="mend the data; earlier warnings name the others")
            self.numbers.add(number)
            count = f"{len(self.numbers)} so far, at most {self.limit} may be"
            _log.warning(
                "%s", self._owner.message(f"skipped {text} ({count}); the next good one takes its place")
            )
