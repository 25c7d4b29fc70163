"""Caffe's log format, which is that of the glog library::

    I1123 12:22:18.424001 31532 caffe.cpp:197] Use CPU.

That is the form of glog before 0.5, the only one that Caffe's ``parse_log.py`` and ``extract_seconds.py`` read.
Later ones write ``I20261123``; glog's own switch, ``GLOG_log_year_in_prefix=1`` in the environment, gives that.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TextIO

from caffelite.errors import SnapshotError
from caffelite.logs.log import Record

YEAR_VARIABLE = "GLOG_log_year_in_prefix"
_TRUE = ("1", "t", "y", "true", "yes")


def year_in_prefix() -> bool:
    """Whether dates have eight digits and not four: if the environment asks for it."""
    return os.environ.get(YEAR_VARIABLE, "").strip().lower() in _TRUE


def format_record(record: Record, year: bool = False) -> str:
    """A record with its prefix and one newline at its end. Further lines of its text have no prefix."""
    seconds, micros = divmod(round(record.time * 1e6), 1_000_000)
    date = time.strftime("%Y%m%d %H:%M:%S" if year else "%m%d %H:%M:%S", time.localtime(seconds))
    line = f"{record.severity}{date}.{micros:06d} {record.thread:>5} {record.where}] {record.text}"
    return line if line.endswith("\n") else line + "\n"


class StderrSink:
    """Standard error as it is at the time of each record (a test or a notebook may have replaced it).

    Errors that end a command are printed without a prefix.
    """

    def __init__(self, level: int = 0, year: bool | None = None):
        self.level, self.year = level, year_in_prefix() if year is None else year

    def write(self, record: Record) -> None:
        if record.kind == "error":
            sys.stderr.write(f"error: {record.text}\n")
        elif record.text and record.level >= self.level:
            sys.stderr.write(format_record(record, self.year))
        sys.stderr.flush()

    def close(self) -> None:
        """Standard error stays open."""


class FileSink:
    """A log file in Caffe's format, added to if it is there; its folder is made.

    Raises SnapshotError if it cannot be written.
    """

    def __init__(self, path: str | Path, year: bool | None = None):
        self.path, self.year = Path(path), year_in_prefix() if year is None else year
        self._file: TextIO = self._open()

    def _open(self) -> TextIO:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return self.path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise self._error(error) from error

    def write(self, record: Record) -> None:
        if not record.text:
            return
        try:
            self._file.write(format_record(record, self.year))
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        self._file.close()

    def _error(self, error: OSError) -> SnapshotError:
        return SnapshotError(f"cannot write the log '{self.path}': {error.strerror or error}")
