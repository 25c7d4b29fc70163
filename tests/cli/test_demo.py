"""``caffelite demo``: what it leaves, how it stops, what it says if something is missing."""

from __future__ import annotations

import csv
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from caffelite import resources
from caffelite.errors import MissingFileError

from .conftest import Run

ready = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("sklearn", "matplotlib", "cv2")),
    reason="needs pip install 'caffelite[demo]'",
)


@pytest.fixture
def few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of 20 iterations, which need not learn much."""
    from caffelite.demo import digits

    real = digits.read_solver

    def shortened(path: Path) -> object:
        source = real(path)
        source.message.max_iter, source.message.display, source.message.test_interval = 20, 5, 10
        return source

    monkeypatch.setattr(digits, "read_solver", shortened)
    monkeypatch.setattr(digits, "ACCURACY", 0.0)


@ready
def test_what_the_demo_leaves(run: Run, tmp_path: Path, few_iterations: None) -> None:
    result = run("demo", "out")
    assert result.code == 0, result.err
    folder = tmp_path / "out"
    assert {file.name for file in folder.iterdir()} == {
        "digits_train_lmdb", "digits_test_lmdb", "solver.prototxt", "net.prototxt", "train.log", "metrics.csv",
        "digits_iter_20.caffemodel", "digits_iter_20.solverstate", "digits.caffemodel",
        "curves.png", "confusion.png", "confusion.csv", "misread.png",
    }  # fmt: skip
    for picture in folder.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    counts = np.array(
        [row[1:] for row in csv.reader((folder / "confusion.csv").read_text().splitlines()[1:])], int
    )
    right = np.trace(counts) / counts.sum()
    assert counts.shape == (10, 10)
    assert f"{right:.1%} of 359 held-out digits read right" in result.out
    tested = re.findall(r"Test net output #0: accuracy = (\S+)", result.err)[-1]
    assert right == pytest.approx(float(tested), abs=1e-3)  # the picture's net is the one that was tested
    assert "Creating Layer" in (folder / "train.log").read_text()
    assert "Creating Layer" not in result.err
    again = run("demo", "out")
    assert again.code == 2
    assert "'out' is not empty" in again.err


@ready
def test_folders_of_further_demos(tmp_path: Path) -> None:
    from caffelite.demo.digits import free_folder

    assert free_folder() == Path("runs/demo")
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo-2").mkdir()
    assert free_folder() == Path("runs/demo-3")


@ready
def test_a_stopped_demo_can_be_resumed(
    run: Run, monkeypatch: pytest.MonkeyPatch, few_iterations: None
) -> None:
    from caffelite.solver.solver import Solver

    def stopped(solver: Solver) -> None:
        solver.step(1)
        solver.request_stop()
        solver.step(20)
        solver.snapshot()

    with monkeypatch.context() as patch:
        patch.setattr(Solver, "solve", stopped)
        result = run("demo", "out")
    assert result.code == 0
    hint = re.search(r"Stopped\. To go on: caffelite (train .*)", result.out)[1]
    assert hint == ("train -solver out/solver.prototxt -snapshot out/digits_iter_2.solverstate --run-dir out")
    assert not Path("out/curves.png").exists()
    resumed = run(*hint.split())
    assert resumed.code == 0
    assert "restoring history" in resumed.err
    assert Path("out/digits_iter_20.solverstate").exists()


@ready
def test_a_file_is_no_folder_for_a_demo(run: Run) -> None:
    Path("afile").write_text("")
    result = run("demo", "afile")
    assert result.code == 2
    assert "demo: 'afile' is a file, not a folder\n  Fix: name a new folder" in result.err


@ready
def test_a_net_that_has_not_learned_is_an_error(
    run: Run, monkeypatch: pytest.MonkeyPatch, few_iterations: None
) -> None:
    from caffelite.demo import digits

    monkeypatch.setattr(digits, "ACCURACY", 1.1)
    result = run("demo", "out")
    assert result.code == 1
    assert re.search(r"reads [\d.]+% of the held-out digits, expected at least 110%", result.err)


@pytest.mark.parametrize(("missing", "words"), [("sklearn", "scikit-learn"), ("matplotlib", "matplotlib")])
def test_missing_extras_are_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, missing: str, words: str
) -> None:
    from caffelite.demo import digits

    monkeypatch.setattr(digits, "find_spec", lambda name: None if name == missing else object())
    result = run("demo")
    assert result.code == 2
    assert f"the demo needs {words}" in result.err
    assert "pip install 'caffelite[demo]'" in result.err
    assert not Path("runs").exists()


def test_models_are_found_and_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert resources.model_file("digits", "solver.prototxt").is_file()
    package = tmp_path / "caffelite"
    (package / "_models" / "digits").mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", package)
    with pytest.raises(MissingFileError, match="install caffelite again"):
        resources.models_dir()
    (package / "_models" / "digits" / "solver.prototxt").write_text("")
    assert resources.models_dir() == package / "_models"
