"""Times of the lines of a training log, as Caffe's tools/extra/extract_seconds.py takes them.

Dates are those of glog: ``I1123 12:22:18.424001`` up to its version 0.4, ``I20261123 ...`` from 0.5 on. Logs of
``--log-format json`` and ``rich`` are read as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from caffelite.atomic import atomic_write
from caffelite.errors import DataError
from caffelite.prototxt.binary import read_bytes
from caffelite.tools.log_lines import caffe_lines

_PREFIX = re.compile(r"\s*[IWEF](\d{4})?(\d\d)(\d\d)\s+(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?\b")
_START = "Solving"
_LEAP_DAY = re.compile(r"^[IWEF]0229 ", re.MULTILINE)


def extract_seconds(log: str | Path, output: str | Path) -> int:
    """Writes a line ``12.345678`` for each line of a log that tells of an iteration; gives their number.

    These are seconds since the line ``Solving ...``.

    Raises:
        MissingFileError, DataError: no such log, or one in which no training starts.
        SnapshotError: the output cannot be written.
    """
    times = [seconds for seconds, line in timed_lines(log) if "Iteration" in line]
    with atomic_write(output) as file:
        file.writelines(b"%f\n" % seconds for seconds in times)
    return len(times)


def timed_lines(log: str | Path) -> Iterator[tuple[float, str]]:
    """The lines from the start of training on that have a date, each with its seconds since that start.

    Lines without one (messages of several lines, a line cut short by a crash) are left out.

    Raises:
        MissingFileError, DataError: no such log, or one in which no training starts.
    """
    text = read_bytes(log, "log").decode("utf-8", "replace")
    lines = caffe_lines(text)
    clock = _Clock(_year(log, text))
    first = _first_solving(lines, log)
    start = clock.time(lines[first])
    if start is None:
        raise DataError(
            f"log '{log}': line {first + 1} has '{_START}' but no date such as I1123 12:22:18.424001"
        )
    for line in lines[first:]:
        time = clock.time(line)
        if time is not None:
            yield (time - start).total_seconds(), line


class _Clock:
    """The times of a log's lines. Without years, a month before the last one is in the next year."""

    def __init__(self, year: int):
        self.year = year
        self.month = 0

    def time(self, line: str) -> datetime | None:
        """The time of a line; None for one that does not begin with a date."""
        if not (match := _PREFIX.match(line)):
            return None
        year, *rest, fraction = match.groups()
        month, day, hour, minute, second = map(int, rest)
        if not year:
            self.year += month < self.month
            self.month = month
        micros = int((fraction or "").ljust(6, "0"))
        try:
            return datetime(int(year or self.year), month, day, hour, minute, second, micros)
        except ValueError:  # a line cut short by a crash
            return None


def _first_solving(lines: Sequence[str], log: str | Path) -> int:
    for number, line in enumerate(lines):
        if _START in line:
            return number
    raise DataError(
        f"log '{log}': no line with '{_START}', with which training starts\n"
        "  Fix: give what 'caffelite train' (or 'caffe train') wrote on standard error"
    )


def _year(log: str | Path, text: str) -> int:
    """The year that a log without years is taken to begin in: its file's, or a leap year if it needs one."""
    year = datetime.fromtimestamp(Path(log).stat().st_mtime).year
    return year - year % 4 if _LEAP_DAY.search(text) else year
