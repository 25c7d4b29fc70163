"""``caffelite train --keep-best --patience``: flags reach the solver, and a run that no longer improves ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run

QUICK = ("train", "-solver", "solver.prototxt", "--engine", "reference")


def test_flags(run: Run, tmp_path: Path) -> None:
    solver = tmp_path / "solver.prototxt"
    solver.write_text(
        solver.read_text()
        .replace("test_interval: 4", "test_interval: 1")
        .replace("max_iter: 8", "max_iter: 50")
    )
    result = run(*QUICK, "--keep-best", "--patience=3", "--monitor", "accuracy")
    assert result.code == 0
    assert (tmp_path / "tiny_best.caffemodel").exists()
    assert "3 tests without a better one (best before: 1 at iteration" in result.err
    assert "Optimization stopped early." in result.err and "To go on:" not in result.err
    assert "keep_best: true" in result.err and "patience: 3" in result.err


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--monitor", "acuracy", "--keep-best"), "got 'acuracy'; did you mean 'accuracy'?"),
        (("--patience", "-2"), "expected patience >= 0, got -2"),
        (("--patience", "few"), "--patience: expected a whole number, got 'few'"),
    ],
)
def test_wrong_flags(run: Run, flags: tuple[str, ...], message: str) -> None:
    result = run(*QUICK, *flags)
    assert result.code == 2 and message in result.err


@pytest.mark.parametrize(
    "fields, code, message",
    [
        ('patience: 3 monitor: "accuracy"', 0, "no problems"),
        (
            'patience: 3 monitor: "acuracy"',
            2,
            "solver.prototxt:17:13: expected the name of a test net's output",
        ),
        ('keep_best: true monitor: "other"', 2, "(accuracy, loss), got 'other'"),
    ],
)
def test_check_looks_for_the_monitor(run: Run, tmp_path: Path, fields: str, code: int, message: str) -> None:
    solver = tmp_path / "solver.prototxt"
    solver.write_text(f"{solver.read_text().rstrip()}\n\n\n{fields}\n")
    result = run("check", "solver.prototxt")
    assert result.code == code and message in result.out


def test_a_monitor_of_nothing_is_told(run: Run) -> None:
    assert "monitor has no effect without keep_best or patience" in run(*QUICK, "--monitor", "accuracy").err
