"""``train --run-dir``: what a run leaves in its directory, and what it leaves alone."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from .conftest import SOLVER, Run

TRAIN = ("train", "-solver", "solver.prototxt", "--engine", "reference")


def test_run_directory(run: Run, tmp_path: Path) -> None:
    (tmp_path / "solver.prototxt").write_text(SOLVER.replace("random_seed: 1\n", ""))
    assert run(*TRAIN, "--run-dir", "runs/a").code == 0
    folder = tmp_path / "runs" / "a"
    assert {file.name for file in folder.iterdir()} == {
        "solver.prototxt", "net.prototxt", "train.log", "metrics.csv",
        *(f"tiny_iter_{i}.{kind}" for i in (4, 8) for kind in ("caffemodel", "solverstate")),
    }  # fmt: skip
    assert (folder / "net.prototxt").read_text() == (tmp_path / "net.prototxt").read_text()
    assert "Optimization Done." in (folder / "train.log").read_text()
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert [row["iteration"] for row in rows] == ["0", "2", "4", "6", "8"]
    assert rows[0]["test_accuracy"]
    used = (folder / "solver.prototxt").read_text()
    assert 'net: "runs/a/net.prototxt"' in used
    assert re.search(r"random_seed: \d+", used)
    weights = (folder / "tiny_iter_8.caffemodel").read_bytes()
    assert run("train", "-solver", "runs/a/solver.prototxt", "--engine", "reference").code == 0
    assert (folder / "tiny_iter_8.caffemodel").read_bytes() == weights


def test_a_run_directory_with_another_run_is_refused(run: Run, tmp_path: Path) -> None:
    assert run(*TRAIN, "--run-dir", "a").code == 0
    before = {file.name: file.read_bytes() for file in Path("a").iterdir()}
    result = run(*TRAIN, "--run-dir", "a")
    assert result.code == 2
    assert re.search(
        r"run directory 'a' holds another run: there is a 'solver\.prototxt'\n"
        r"  Fix: name another directory, or go on with that run: -snapshot a/tiny_iter_8\.solverstate",
        result.err,
    )
    assert run(*TRAIN, "--run-dir", "a", "-snapshot", "tiny_iter_8.solverstate").code == 3  # there is none
    run(*TRAIN)
    assert run(*TRAIN, "--run-dir", "a", "-snapshot", "tiny_iter_8.solverstate").code == 2
    assert {file.name: file.read_bytes() for file in Path("a").iterdir()} == before
    own = run(*TRAIN, "--run-dir", ".")
    assert own.code == 2 and "run directory '.' holds" in own.err


def test_a_run_goes_on_in_its_directory(run: Run, tmp_path: Path) -> None:
    run(*TRAIN, "--run-dir", "a")
    folder = tmp_path / "a"
    used, log = (folder / "solver.prototxt").read_bytes(), (folder / "train.log").read_text()
    table = (folder / "metrics.csv").read_text()
    (tmp_path / "solver.prototxt").write_text(SOLVER.replace("max_iter: 8", "max_iter: 12"))
    result = run(*TRAIN, "--run-dir", "a", "-snapshot", "a/tiny_iter_8.solverstate")
    assert result.code == 0
    assert (folder / "solver.prototxt").read_bytes() == used
    assert (folder / "train.log").read_text().startswith(log)
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert [row["iteration"] for row in rows] == ["0", "2", "4", "6", "8", "10", "12"]
    assert (folder / "metrics.csv").read_text()[:40] == table[:40]
    assert (folder / "tiny_iter_12.solverstate").exists()


def test_a_run_that_cannot_begin_leaves_its_directory_free(run: Run, tmp_path: Path) -> None:
    text = (tmp_path / "net.prototxt").read_text()
    (tmp_path / "net.prototxt").write_text(text.replace('bottom: "conv"', 'bottom: "missing"'))
    assert run(*TRAIN, "--run-dir", "a").code == 2
    assert list(Path("a").iterdir()) == []
    (tmp_path / "net.prototxt").write_text(text)
    assert run(*TRAIN, "--run-dir", "a").code == 0
