"""Tables of what a training log tells: Caffe's tools/extra/parse_log.py and parse_log.sh.

A row's learning rate is the one that its own iteration trained with. (Caffe's script gives the rate printed
before the row: Caffe logs an iteration's outputs first and its rate after them.)
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from caffelite.atomic import atomic_write
from caffelite.tools.extract_seconds import timed_lines

ITERS, SECONDS, RATE = "NumIters", "Seconds", "LearningRate"
LOSS = "Loss"

Row = dict[str, float]

_ITERATION = re.compile(r"Iteration (\d+)")
_TEST = re.compile(r"Iteration \d+, Testing net \(#(\d+)\)")
_OUTPUT = re.compile(r"(Train|Test) net output #(\d+): (\S+) = (\S+)")
_RATE = re.compile(r"\blr = (\S+)")
_LOSS = re.compile(r"Iteration \d+.*, loss = (\S+)")


@dataclass
class Table:
    """Rows in the order of the log: NumIters, Seconds, LearningRate, then a column for each output.

    The outputs of a second test net have its number behind their name (``accuracy (#1)``); so have the
    further values of an output with several (``prob``, ``prob#1``, ...).
    """

    rows: list[Row] = field(default_factory=list)
    _seen: set[tuple[int, int]] = field(default_factory=set)

    @property
    def columns(self) -> list[str]:
        """All columns, in the order in which the log has them."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def add(self, start: Row, net: int, index: int, name: str, value: float) -> None:
        """Takes output ``index``; one of another iteration, or there already, opens a new row."""
        if not self.rows or self.rows[-1][ITERS] != start[ITERS] or (net, index) in self._seen:
            self.rows.append(dict(start))
            self._seen.clear()
        self._seen.add((net, index))
        row, column = self.rows[-1], f"{name} (#{net})" if net else name
        row[f"{column}#{index}" if column in row else column] = value

    def set_rate(self, iteration: float, rate: float) -> None:
        """The rate of an iteration, which may come after its outputs."""
        if self.rows and self.rows[-1][ITERS] == iteration:
            self.rows[-1][RATE] = rate

    def fill_rates(self) -> None:
        """Rows before the first known rate get that one."""
        first = next((row[RATE] for row in self.rows if not math.isnan(row[RATE])), math.nan)
        for row in self.rows:
            if not math.isnan(row[RATE]):
                return
            row[RATE] = first


@dataclass
class Tables:
    """Outputs of training, outputs of testing, and the losses that Caffe smooths (column Loss)."""

    train: Table = field(default_factory=Table)
    test: Table = field(default_factory=Table)
    losses: Table = field(default_factory=Table)

    @property
    def all(self) -> tuple[Table, Table, Table]:
        """The three of them."""
        return self.train, self.test, self.losses


def parse_log(log: str | Path) -> Tables:
    """Reads a log of ``caffe train`` or ``caffelite train``; numbers may be NaN or infinite.

    Raises:
        MissingFileError, DataError: no such log, or one in which no training starts.
    """
    tables = Tables()
    row: Row = {ITERS: -1.0, SECONDS: 0.0, RATE: math.nan}
    net = 0
    for seconds, line in timed_lines(log):
        if match := _ITERATION.search(line):
            row[ITERS] = float(match[1])
        if row[ITERS] < 0:
            continue
        row[SECONDS] = seconds
        if match := _TEST.search(line):
            net = int(match[1])
        _take(tables, row, net, line)
    for table in tables.all:
        table.fill_rates()
    return tables


def write_csv(tables: Tables, log: str | Path, folder: str | Path, delimiter: str = ",") -> list[Path]:
    """Writes ``LOG.train`` and ``LOG.test``, unless without rows, into a folder; gives those written.

    Raises:
        SnapshotError: a file cannot be written.
    """
    written = []
    for table, path in zip((tables.train, tables.test), _paths(log, folder), strict=True):
        if not table.rows:
            continue
        text = io.StringIO()
        writer = csv.DictWriter(text, table.columns, "", delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.rows)
        _write(path, text.getvalue())
        written.append(path)
    return written


def write_columns(tables: Tables, log: str | Path, folder: str | Path) -> list[Path]:
    """Writes the two tables of parse_log.sh: columns set with spaces, under a line that begins with ``#``.

    ``LOG.train``: Iters, Seconds, TrainingLoss, LearningRate. ``LOG.test``: Iters, Seconds, TestAccuracy,
    TestLoss; which outputs these are, :func:`accuracy_column` and :func:`loss_column` say. What is not in the
    log is ``nan``.

    Raises:
        SnapshotError: a file cannot be written.
    """
    accuracy, loss = accuracy_column(tables.test), loss_column(tables.test)
    bodies = (
        (("#Iters", "Seconds", "TrainingLoss", "LearningRate"), tables.losses, (LOSS, RATE)),
        (("#Iters", "Seconds", "TestAccuracy", "TestLoss"), tables.test, (accuracy, loss)),
    )
    paths = _paths(log, folder)
    for (head, table, names), path in zip(bodies, paths, strict=True):
        rows = [
            (f"{row[ITERS]:.0f}", f"{row[SECONDS]:f}", *(f"{row.get(n, math.nan):g}" for n in names))
            for row in table.rows
        ]
        _write(path, "".join(f"{line}\n" for line in _aligned([head, *rows])))
    return list(paths)


def accuracy_column(table: Table) -> str:
    """The output with ``acc`` in its name, or else the first (which parse_log.sh takes)."""
    return _column(table, "acc", 0)


def loss_column(table: Table) -> str:
    """The output with ``loss`` in its name, or else the second (which parse_log.sh takes)."""
    return _column(table, "loss", 1)


def _column(table: Table, part: str, place: int) -> str:
    """Its name; empty if there is no such output, or if it is another one's by name."""
    names = [name for name in table.columns if name not in (ITERS, SECONDS, RATE)]
    fitting = [name for name in names if part in name.lower()]
    unclear = [name for name in names[place : place + 1] if not re.search("acc|loss", name.lower())]
    return next(iter(fitting + unclear), "")


def _take(tables: Tables, row: Row, net: int, line: str) -> None:
    """Takes what a line tells; ``row`` holds the iteration, the seconds and the rate so far."""
    if (match := _RATE.search(line)) and (rate := _float(match[1])) is not None:
        row[RATE] = rate
        for table in tables.all:
            table.set_rate(row[ITERS], rate)
    if (match := _LOSS.search(line)) and (loss := _float(match[1])) is not None:
        tables.losses.add(row, 0, 0, LOSS, loss)
    if (match := _OUTPUT.search(line)) and (value := _float(match[4])) is not None:
        table, net = (tables.test, net) if match[1] == "Test" else (tables.train, 0)
        table.add(row, net, int(match[2]), match[3], value)


def _float(text: str) -> float | None:
    """A number as C++ prints it, on Windows (``1.#QNAN``, ``-nan(ind)``) too; None for one cut short."""
    for word, value in (("nan", math.nan), ("#ind", math.nan), ("inf", math.inf)):
        if word in text.lower():
            return -value if text.startswith("-") else value
    try:
        return float(text)
    except ValueError:
        return None


def _paths(log: str | Path, folder: str | Path) -> tuple[Path, Path]:
    name = os.path.basename(log)
    return Path(folder) / f"{name}.train", Path(folder) / f"{name}.test"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())
