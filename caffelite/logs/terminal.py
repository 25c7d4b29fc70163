"""The log on a terminal: lines to read, and under them a progress bar while a net is trained."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from caffelite.logs.caffe import format_record
from caffelite.logs.log import Record, number

_COLORS = {"W": "yellow", "E": "red", "F": "red"}
_KINDS = {"test": "bold", "test_output": "green", "snapshot": "blue", "done": "bold green"}
_BAR_PERIOD_S = 0.1
_LEFT_OUT = ("net", "solver", "end")  # pages of prototxt, "done" once more; other formats have them


def readable(record: Record) -> str:
    """A record as a line of rich's markup: the time, the text; empty for what only programs want to know."""
    if record.kind in _LEFT_OUT or not record.text:
        return ""
    if record.kind == "error":
        return _error(record)
    style = _COLORS.get(record.severity) or _KINDS.get(record.kind, "")
    text = escape(record.text.rstrip("\n"))
    clock = time.strftime("%H:%M:%S", time.localtime(record.time))
    return f"[dim]{clock}[/]  " + (f"[{style}]{text}[/]" if style else text)


def caffe_markup(record: Record, year: bool = False) -> str:
    """A record as Caffe's line."""
    if record.kind == "error":
        return _error(record)
    return escape(format_record(record, year).rstrip("\n")) if record.text else ""


def _error(record: Record) -> str:
    return f"[bold red]error:[/] {escape(record.text)}"


class RichSink:
    """Standard error through rich. ``line`` makes the markup of a record. Only a terminal gets a bar."""

    def __init__(
        self, level: int = 0, line: Callable[[Record], str] = readable, console: Console | None = None
    ):
        self.level, self._line = level, line
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._loss = ""
        self._next = 0.0

    def write(self, record: Record) -> None:
        if record.kind == "iteration":
            self._loss = number(record.fields["loss"])
        if record.kind in ("done", "error"):
            self.close()
        if record.kind == "progress" and self._console.is_terminal:
            self._advance(int(record.fields["iteration"]), int(record.fields["max_iter"]), record.time)
        line = self._line(record) if record.level >= self.level else ""
        if line:
            self._console.print(line)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _advance(self, iteration: int, total: int, now: float) -> None:
        if now < self._next and iteration < total:
            return
        self._next = now + _BAR_PERIOD_S
        if self._progress is None:
            self._progress = _bar(self._console)
            self._task = self._progress.add_task("", total=total, loss="")
            self._progress.start()
        self._progress.update(self._task, completed=iteration, loss=self._loss and f"loss {self._loss}")


def _bar(console: Console) -> Progress:
    columns = (
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
