"""One log for everything: records go to sinks, and each sink writes them in its own form.

    log = get_log()
    log.emit("lr", "Iteration 5, lr = 0.01", where="sgd_solver.cpp:112", iteration=5, lr=0.01)

The text is the line that Caffe prints and ``where`` the place in Caffe that prints it, so that tools made
for Caffe's logs go on working; the fields say the same for programs. Kinds that sinks understand, with
their fields:

    iteration      iteration, loss (smoothed), rate (iterations a second)
    lr             iteration, lr
    train_output   iteration, index, name, value, weight (of the loss; 0 for none)
    test           iteration, net (index): a test begins
    test_output    iteration, net, index, name, value, weight
    progress       iteration, max_iter, loss: text may be empty, then only progress bars take notice
    snapshot       path
    error          what ends a command; standard error gets it without prefix
    net            lines about the building of a net, which readable formats leave out

Any other kind is a line of text with fields. Standard error in Caffe's format is the sink to start with.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from caffelite.errors import UsageError

SEVERITIES = "IWEF"
LEVEL_VARIABLE = "GLOG_minloglevel"


@dataclass(frozen=True)
class Record:
    """One thing that happened. ``time`` in seconds since the epoch; ``thread`` is the system's number."""

    kind: str
    text: str
    where: str = "caffe.cpp:1"
    severity: str = "I"
    fields: dict[str, Any] = field(default_factory=dict)
    time: float = 0.0
    thread: int = 0

    @property
    def level(self) -> int:
        """0 for information, 1 warnings, 2 errors, 3 fatal errors."""
        return SEVERITIES.index(self.severity)


class Sink(Protocol):
    """Where records go."""

    def write(self, record: Record) -> None:
        """Takes one record; calls never overlap."""

    def close(self) -> None:
        """Writes what is still held back."""


class Log:
    """Hands each record to all sinks, one record at a time."""

    def __init__(self, *sinks: Sink):
        self.sinks: list[Sink] = list(sinks)
        self._lock = threading.RLock()

    def emit(
        self, kind: str, text: str, where: str = "caffe.cpp:1", severity: str = "I", **fields: Any
    ) -> None:
        """Logs one line (or several: the text may hold newlines)."""
        record = Record(kind, text, where, severity, fields, time.time(), threading.get_native_id())
        with self._lock:
            for sink in self.sinks:
                sink.write(record)

    @contextmanager
    def to(self, *sinks: Sink, instead: bool = False) -> Iterator[Log]:
        """Adds sinks, or puts them in place of the present ones, while a block runs; then closes them."""
        before = self.sinks
        self.sinks = [*([] if instead else before), *sinks]
        try:
            yield self
        finally:
            self.sinks = before
            for sink in sinks:
                sink.close()


def number(value: Any) -> str:
    """A number as C++ streams print it: six significant digits, ``1e-05``, ``nan``, ``inf``."""
    return str(value) if isinstance(value, int) else f"{float(value):g}"


_log: Log | None = None


def get_log() -> Log:
    """The log of this process. Until told otherwise it writes Caffe's format to standard error."""
    global _log
    if _log is None:
        from caffelite.logs.caffe import StderrSink

        _log = Log(StderrSink(level_from_environment()))
    return _log


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Sets what standard error gets: records from ``level`` (0 all ... 3 fatal errors only) on, or nothing.

    Other sinks stay. Raises UsageError for another level.
    """
    if level not in range(len(SEVERITIES)):
        raise UsageError(f"log level: expected 0 to {len(SEVERITIES) - 1}, got {level}")
    from caffelite.logs.caffe import StderrSink

    log = get_log()
    others = [sink for sink in log.sinks if not isinstance(sink, StderrSink)]
    log.sinks = ([StderrSink(level)] if stderr else []) + others


def level_from_environment() -> int:
    """The threshold that ``GLOG_minloglevel`` sets; 0 without it. Raises UsageError unless it is 0 to 3."""
    text = os.environ.get(LEVEL_VARIABLE, "").strip() or "0"
    if text not in ("0", "1", "2", "3"):
        raise UsageError(f"{LEVEL_VARIABLE} in the environment: expected 0 to 3, got '{text}'")
    return int(text)
