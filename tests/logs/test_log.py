"""The log: sinks, Caffe's format as Caffe's own parser reads it, JSON, the table of metrics, terminals."""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from caffelite.errors import SnapshotError, UsageError
from caffelite.logs.caffe import FileSink, StderrSink, format_record
from caffelite.logs.json_lines import JsonSink
from caffelite.logs.log import Log, Record, get_log, init_log, level_from_environment, number
from caffelite.logs.metrics import MetricsSink, read_metrics
from caffelite.logs.terminal import RichSink, caffe_markup, readable

PREFIX = re.compile(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [\w.]+:\d+\] ")


class Keep:
    """A sink that keeps records."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.closed = False

    def write(self, record: Record) -> None:
        self.records.append(record)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def fresh_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has a log of its own, and the environment says nothing about it."""
    monkeypatch.delenv("GLOG_minloglevel", raising=False)
    monkeypatch.delenv("GLOG_log_year_in_prefix", raising=False)
    monkeypatch.setattr(importlib.import_module("caffelite.logs.log"), "_log", None)
    yield


def record(text: str, **changes: object) -> Record:
    values = {"kind": "x", "text": text, "where": "caffe.cpp:197", "time": 1795436538.424001, "thread": 31532}
    return Record(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01, "0.01"), (1e-5, "1e-05"), (1.1234567, "1.12346"), (123456789.0, "1.23457e+08"), (100000.0, "100000"),
        (7, "7"), (1234567, "1234567"), (0.0, "0"), (math.nan, "nan"), (-math.inf, "-inf"),
    ],
)  # fmt: skip
def test_numbers_print_as_cpp_streams_do(value: float, text: str) -> None:
    assert number(value) == text


def test_prefix_is_glogs() -> None:
    assert PREFIX.match(format_record(record("Use CPU.")))
    assert format_record(record("Use CPU."))[14:] == ".424001 31532 caffe.cpp:197] Use CPU.\n"
    assert re.match(r"I\d{8} \d\d:", format_record(record("Use CPU."), year=True))
    assert re.match(r"I\d{4} \d\d:", format_record(record("Use CPU.")))
    assert format_record(record("x", thread=7)).split("]")[0].endswith("     7 caffe.cpp:197")


def test_only_the_first_line_has_a_prefix_and_one_newline_ends_it() -> None:
    text = format_record(record("Initializing: \na: 1\nb: 2\n"))
    assert text.splitlines()[1:] == ["a: 1", "b: 2"]
    assert text.endswith("b: 2\n")


def test_standard_error_is_the_first_sink(capsys: pytest.CaptureFixture[str]) -> None:
    get_log().emit("x", "hello", "net.cpp:1")
    assert capsys.readouterr().err.endswith("net.cpp:1] hello\n")


@pytest.mark.parametrize(("level", "seen"), [("0", "IWEF"), ("1", "WEF"), ("2", "EF"), ("3", "F")])
def test_environment_sets_the_threshold(
    level: str, seen: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GLOG_minloglevel", level)
    for severity in "IWEF":
        get_log().emit("x", "text", severity=severity)
    assert "".join(line[0] for line in capsys.readouterr().err.splitlines()) == seen


def test_a_wrong_threshold_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "quiet")
    with pytest.raises(UsageError, match="GLOG_minloglevel.*'quiet'"):
        level_from_environment()
    with pytest.raises(UsageError, match="0 to 3, got 4"):
        monkeypatch.delenv("GLOG_minloglevel")
        init_log(4)


def test_init_log_replaces_standard_error_and_keeps_other_sinks(capsys: pytest.CaptureFixture[str]) -> None:
    keep = Keep()
    get_log().sinks.append(keep)
    init_log(0, stderr=False)
    get_log().emit("x", "unseen")
    init_log(2)
    get_log().emit("x", "still unseen")
    assert capsys.readouterr().err == ""
    assert [r.text for r in keep.records] == ["unseen", "still unseen"]


def test_sinks_for_a_while() -> None:
    first, second = Keep(), Keep()
    log = Log(first)
    with pytest.raises(KeyError), log.to(second):
        log.emit("x", "both")
        raise KeyError
    with log.to(second, instead=True):
        log.emit("x", "second")
    assert [r.text for r in first.records] == ["both"]
    assert [r.text for r in second.records] == ["both", "second"]
    assert second.closed
    assert not first.closed


def test_errors_have_no_prefix_and_are_never_silenced(capsys: pytest.CaptureFixture[str]) -> None:
    Log(StderrSink(3)).emit("error", "it broke", severity="E")
    assert capsys.readouterr().err == "error: it broke\n"


def test_eight_digit_dates_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GLOG_log_year_in_prefix", "1")
    get_log().emit("x", "text")
    assert re.match(r"I\d{8} ", capsys.readouterr().err)


def test_log_file_goes_on_and_takes_every_severity(tmp_path: Path) -> None:
    for text in ("one", "two"):
        sink = FileSink(tmp_path / "x.log")
        Log(sink).emit("x", text)
        sink.close()
    assert [line.split("] ")[1] for line in (tmp_path / "x.log").read_text().splitlines()] == ["one", "two"]


def test_log_file_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SnapshotError, match="cannot write the log"):
        FileSink(tmp_path / "file" / "x.log")


def test_the_folder_of_a_log_file_is_made(tmp_path: Path) -> None:
    FileSink(tmp_path / "a" / "b" / "x.log").close()
    assert (tmp_path / "a" / "b" / "x.log").exists()


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(JsonSink())
    log.emit("lr", "Iteration 5, lr = 0.01", iteration=5, lr=0.01)
    log.emit("iteration", "loss\n", loss=math.nan)
    log.emit("progress", "", iteration=1, max_iter=2)
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first | {"time": 0} == {
        "time": 0, "kind": "lr", "severity": "I", "text": "Iteration 5, lr = 0.01", "iteration": 5, "lr": 0.01,
    }  # fmt: skip
    assert second["loss"] == "nan"


# -- metrics --------------------------------------------------------------------------------------------------


def train_log(log: Log, iterations: range) -> None:
    """What a solver logs, with a test every second time."""
    for iteration in iterations:
        if iteration % 20 == 0:
            log.emit("test", "Testing", iteration=iteration, net=0)
            log.emit(
                "test_output",
                "acc",
                iteration=iteration,
                net=0,
                index=0,
                name="accuracy",
                value=0.5,
                weight=0.0,
            )
            log.emit(
                "test_output",
                "acc",
                iteration=iteration,
                net=1,
                index=0,
                name="accuracy",
                value=0.25,
                weight=0.0,
            )
        log.emit("iteration", "i", iteration=iteration, loss=1 / (iteration + 1), rate=1.0)
        log.emit("train_output", "o", iteration=iteration, index=0, name="loss", value=2.0, weight=1.0)
        log.emit("lr", "lr", iteration=iteration, lr=0.1)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_metrics_have_a_row_for_each_iteration(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    sink = MetricsSink(path)
    train_log(Log(sink), range(0, 40, 10))
    sink.close()
    rows = rows_of(path)
    assert list(rows[0]) == [
        "iteration",
        "seconds",
        "lr",
        "loss",
        "train_loss",
        "test_accuracy",
        "test1_accuracy",
    ]
    assert [row["iteration"] for row in rows] == ["0", "10", "20", "30"]
    assert [row["test1_accuracy"] for row in rows] == ["0.25", "", "0.25", ""]
    assert rows[1] | {"seconds": ""} == {
        "iteration": "10", "seconds": "", "lr": "0.1", "loss": "0.0909091", "train_loss": "2", "test_accuracy": "",
        "test1_accuracy": "",
    }  # fmt: skip
    assert read_metrics(path)["test_accuracy"] == [(0, 0.5), (20, 0.5)]


def test_metrics_are_on_disk_before_the_run_ends(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    train_log(Log(MetricsSink(path)), range(0, 40, 10))
    assert [row["iteration"] for row in rows_of(path)] == ["0", "10", "20"]


def test_metrics_of_a_resumed_run_replace_what_it_does_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    for iterations in (range(0, 40, 10), range(20, 60, 10)):
        sink = MetricsSink(path)
        train_log(Log(sink), iterations)
        sink.close()
    rows = rows_of(path)
    assert [row["iteration"] for row in rows] == ["0", "10", "20", "30", "40", "50"]
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)


# -- terminals ------------------------------------------------------------------------------------------------


def console(terminal: bool) -> tuple[object, io.StringIO]:
    from rich.console import Console

    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=80, soft_wrap=True, color_system=None), out


def test_readable_lines_leave_nets_out_and_show_brackets() -> None:
    assert readable(record("Creating Layer x", kind="net")) == ""
    assert "\\[mnist]" in readable(record("net [mnist]"))
    assert caffe_markup(record("net [mnist]")).endswith("net \\[mnist]")
    assert "error:" in readable(record("bad", kind="error"))


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_bar_on_a_terminal_only(terminal: bool) -> None:
    screen, out = console(terminal)
    sink = RichSink(console=screen)  # type: ignore[arg-type]
    log = Log(sink)
    log.emit("iteration", "Iteration 1", iteration=1, loss=0.25, rate=1.0)
    log.emit("progress", "", iteration=1, max_iter=10, loss=0.25)
    log.emit("done", "Optimization Done.")
    sink.close()
    assert ("1/10" in out.getvalue()) == terminal
    assert "Iteration 1" in out.getvalue()
    assert "Optimization Done." in out.getvalue()
