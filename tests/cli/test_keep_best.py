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
