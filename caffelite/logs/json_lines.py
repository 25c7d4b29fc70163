"""A log for programs: one JSON object a line, with kind, time, text and the record's fields."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np

from caffelite.logs.log import Record


def format_json(record: Record) -> str:
    """``{"time": 1795436538.424, "kind": "lr", "severity": "I", "text": "...", "iteration": 5, "lr": 0.01}``.

    Numbers that JSON lacks (nan, inf) become strings.
    """
    head = {
        "time": round(record.time, 6),
        "kind": record.kind,
        "severity": record.severity,
        "text": record.text.strip(),
    }
    return json.dumps(head | {name: _plain(value) for name, value in record.fields.items()}, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class JsonSink:
    """JSON lines on standard error; records without text (progress) are left out."""

    def __init__(self, level: int = 0):
        self.level = level

    def write(self, record: Record) -> None:
        if record.text and record.level >= self.level:
            sys.stderr.write(format_json(record) + "\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Standard error stays open."""
