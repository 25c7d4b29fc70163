"""Logs of ``--log-format json`` and ``rich``, told line by line as Caffe would."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

from caffelite.logs.caffe import format_record
from caffelite.logs.log import SEVERITIES, Record

_RICH = re.compile(r"(\d\d:\d\d:\d\d)  (.*)")
_SOME_DAY = datetime(
    2000, 1, 1
)  # rich lines have the time of day alone; nobody asks for more than differences


def caffe_lines(text: str) -> list[str]:
    """The lines of a log of any format, with glog's dates where they have a time; all others as they are."""
    found: list[str] = []
    day, last = _SOME_DAY, ""
    for line in text.splitlines():
        if match := _RICH.match(line):
            clock, told = match.groups()
            day += timedelta(days=clock < last)  # past midnight
            last = clock
            line = f"I{day:%Y%m%d} {clock} 0 solver.cpp:1] {told}"
        elif line.startswith("{"):
            line = _from_json(line)
        found += line.splitlines() or [line]
    return found


def _from_json(line: str) -> str:
    """A record's line; a line that holds none, such as one cut short, as it is."""
    try:
        record = json.loads(line)
        text, time, severity = record["text"], float(record["time"]), record.get("severity", "I")
    except (ValueError, KeyError, TypeError, AttributeError):
        return line
    if severity not in SEVERITIES:
        return line
    return format_record(Record("", str(text), "solver.cpp:1", severity, time=time), year=True)
