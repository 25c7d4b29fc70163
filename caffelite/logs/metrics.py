"""The table of a training run: ``metrics.csv``, one row for each iteration at which something was printed.

    iteration,seconds,lr,loss,train_loss,test_accuracy,test_loss
    0,0.21,0.01,2.31,2.31,0.09,2.32

``loss`` is the smoothed one of the display line, ``train_x`` and ``test_x`` are the outputs of the nets; a
second test net's are ``test1_x``. ``seconds`` count from the first record of the run.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from caffelite.atomic import atomic_write
from caffelite.logs.log import Record, number

FIRST_COLUMNS = ("iteration", "seconds", "lr", "loss")


class MetricsSink:
    """Collects rows and writes them as they are complete.

    A file that is there is carried on: a resumed run drops the rows from its first iteration on and adds
    its own. Raises SnapshotError if the file cannot be written.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._rows: dict[int, dict[str, Any]] = {}
        self._columns: list[str] = list(FIRST_COLUMNS)
        self._written: list[str] = []  # the header that the file has now
        self._current: int | None = None  # the iteration whose row is being filled
        self._offset: float | None = None  # added to a record's time to get its seconds
        self._before: list[dict[str, Any]] | None = _read(self.path)

    def write(self, record: Record) -> None:
        if self._offset is None:
            self._offset = -record.time
        if record.kind not in ("iteration", "lr", "train_output", "test_output", "test"):
            return
        iteration = int(record.fields["iteration"])
        if iteration != self._current:
            self._finish_row()
            self._begin(iteration)
        row = self._rows[iteration]
        row.setdefault("seconds", f"{record.time + self._offset:.3f}")
        name, value = _cell(record)
        if name:
            row[name] = value
            if name not in self._columns:
                self._columns = sorted([*self._columns, name], key=_group)

    def close(self) -> None:
        self._finish_row()

    def _begin(self, iteration: int) -> None:
        if self._before is not None:
            self._carry_on(self._before, iteration)
            self._before = None
        self._current = iteration
        self._rows.setdefault(iteration, {"iteration": iteration})

    def _carry_on(self, before: list[dict[str, Any]], iteration: int) -> None:
        """Takes over the rows of an earlier run from before this one begins."""
        for row in before:
            if int(row["iteration"]) < iteration:
                self._rows[int(row["iteration"])] = row
                self._columns += [name for name in row if name not in self._columns]
        if self._rows and self._offset is not None:
            self._offset += float(self._rows[max(self._rows)]["seconds"])

    def _finish_row(self) -> None:
        if self._current is None:
            return
        if self._written == self._columns:
            self._append(self._rows[self._current])
        else:
            self._write_all()
        self._current = None

    def _write_all(self) -> None:
        with atomic_write(self.path) as file:
            file.write(_lines(self._columns, [{name: name for name in self._columns}, *self._rows.values()]))
        self._written = list(self._columns)

    def _append(self, row: dict[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.write(_lines(self._columns, [row]))


def _group(column: str) -> int:
    """Columns of every run come first, then those of the training net, then those of test nets."""
    return 0 if column in FIRST_COLUMNS else 1 if column.startswith("train_") else 2


def _cell(record: Record) -> tuple[str, str]:
    fields = record.fields
    if record.kind == "iteration":
        return "loss", number(fields["loss"])
    if record.kind == "lr":
        return "lr", number(fields["lr"])
    if record.kind == "train_output":
        return f"train_{fields['name']}", number(fields["value"])
    if record.kind == "test_output":
        return f"test{fields.get('net') or ''}_{fields['name']}", number(fields["value"])
    return "", ""


def _lines(columns: list[str], rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _read(path: Path) -> list[dict[str, Any]]:
    """The rows of a table; none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if (row.get("iteration") or "").isdecimal()]


def read_metrics(path: str | Path) -> dict[str, list[tuple[int, float]]]:
    """The columns of a table as (iteration, value) pairs, without empty cells. For plots."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in _read(Path(path)):
        for name, text in row.items():
            if name != "iteration" and text:
                series.setdefault(name, []).append((int(row["iteration"]), float(text)))
    return series
