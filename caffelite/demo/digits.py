"""The demo from its first file to its last."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from caffelite.data.digits import make_digits
from caffelite.demo import pictures
from caffelite.demo.scores import Scores, score, write_confusion
from caffelite.engine import get_engine
from caffelite.errors import CaffeliteError, UsageError
from caffelite.logs.run_dir import METRICS, RunDir
from caffelite.prototxt.source import SolverSource, read_solver
from caffelite.resources import model_file
from caffelite.solver.solver import Solver

ACCURACY = 0.98  # of the held-out digits, below which something is wrong
_NEEDS = ("sklearn", "matplotlib")
_DEFAULT_DIR = "runs/demo"  # as the files in models/digits name it


def run(
    folder: str | Path, train: Callable[[Solver], None], engine: str = "cpu", precision: str = "float32"
) -> Scores | str:
    """Makes the databases, trains, tests and draws, in a new or empty folder.

    If training was stopped, the solver state to go on from is all it gives.
    Raises UsageError if an extra is missing or the folder is in use, CaffeliteError if the net has not
    learned.
    """
    check_installed()
    path = Path(folder)
    _check_free(path)
    get_engine(engine, precision)
    run_dir = RunDir(path)
    _, test_lmdb = make_digits(path)
    source = _solver_source(run_dir)
    with run_dir.recording():
        solver = Solver(source, engine=engine, precision=precision, observe=False)
        try:
            train(solver)
            if solver.stopped:
                return solver.saved_state or solver.snapshot()
            weights = path / "digits.caffemodel"
            solver.net.save(weights)
        finally:
            solver.close()
    return _finish(run_dir, weights, test_lmdb)


def _check_free(path: Path) -> None:
    if path.is_dir():
        wrong = "is not empty" if any(path.iterdir()) else ""
    else:
        wrong = "is a file, not a folder" if path.exists() else ""
    if wrong:
        raise UsageError(f"demo: '{path}' {wrong}\n  Fix: name a new folder, as in: caffelite demo {path}-2")


def check_installed() -> None:
    """Raises UsageError that names the extra if scikit-learn or matplotlib is missing."""
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        names = " and ".join({"sklearn": "scikit-learn"}.get(name, name) for name in missing)
        raise UsageError(f"the demo needs {names}\n  Fix: pip install 'caffelite[demo]'")


def free_folder() -> Path:
    """``runs/demo``, or the first of ``runs/demo-2``, ``runs/demo-3``, ... that is not there yet."""
    path, number = Path(_DEFAULT_DIR), 1
    while path.exists():
        number += 1
        path = Path(f"{_DEFAULT_DIR}-{number}")
    return path


def _solver_source(run_dir: RunDir) -> SolverSource:
    """The solver of ``models/digits``, with the net and its databases in the run's folder."""
    text = model_file("digits", "train_val.prototxt").read_text(encoding="utf-8")
    net = run_dir.write("net.prototxt", text.replace(f"{_DEFAULT_DIR}/", f"{run_dir.path}/").encode())
    source = read_solver(model_file("digits", "solver.prototxt"))
    source.message.net = str(net)
    run_dir.adopt(source)
    return source


def _finish(run_dir: RunDir, weights: Path, test_lmdb: Path) -> Scores:
    """Scores the held-out digits and draws the pictures."""
    scores = score(model_file("digits", "deploy.prototxt"), weights, test_lmdb)
    write_confusion(run_dir, scores)
    pictures.draw_curves(run_dir.path / METRICS, run_dir.path / "curves.png")
    pictures.draw_confusion(scores.confusion, run_dir.path / "confusion.png")
    pictures.draw_misread(scores, run_dir.path / "misread.png")
    if scores.accuracy < ACCURACY:
        raise CaffeliteError(
            f"the demo's net reads {scores.accuracy:.1%} of the held-out digits, "
            f"expected at least {ACCURACY:.0%}"
        )
    return scores
