"""Training runs that BVLC Caffe 1.0 made: the same weights after the same batches."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from caffelite.logs.log import Log
from caffelite.prototxt.source import parse_solver, read_solver
from caffelite.solver.solver import Solver

GOLDEN = Path(__file__).parent / "golden"
FIVE = np.load(GOLDEN / "five_updates.npz")
RUNS = sorted({name.split("/")[0] for name in FIVE.files if "/" in name})
TOLERANCE = 1e-5


def solver_in(folder, text=None):
    source = (
        read_solver(folder / "solver.prototxt") if text is None else parse_solver(text, "solver.prototxt")
    )
    source.message.snapshot = 0
    return Solver(source, engine="reference", log=Log(), root=folder)


def start(solver, arrays):
    for layer, params in solver.net.params.items():
        for index, param in enumerate(params):
            param.load(arrays[f"init_{layer}_{index}"])


def train(solver, arrays, first, last):
    losses = []
    for iteration in range(first, last):
        solver.net.blob("data")[...] = arrays["data"][iteration]
        solver.net.blob("label")[...] = arrays["label"][iteration]
        solver.step()
        losses.append(float(solver.net.blob("loss")))
    return losses


def assert_weights(solver, arrays, prefix):
    for layer, params in solver.net.params.items():
        for index, param in enumerate(params):
            theirs = arrays[f"{prefix}_{layer}_{index}"]
            error = np.abs(param.data - theirs).max() / max(np.abs(theirs).max(), 1e-3)
            assert error < TOLERANCE, f"{layer}[{index}]: {error:.1e}"


@pytest.mark.parametrize("run", RUNS)
def test_five_updates(run, tmp_path):
    arrays = {name.split("/")[1]: FIVE[name] for name in FIVE.files if name.startswith(f"{run}/")}
    (tmp_path / "net.prototxt").write_text(str(FIVE["net"]))
    solver = solver_in(tmp_path, str(arrays["solver"]))
    start(solver, arrays)
    losses = train(solver, arrays, 0, 5)
    assert np.abs(losses - arrays["loss"]).max() < TOLERANCE
    assert_weights(solver, arrays, "iter5")


def test_a_state_by_caffe_is_restored(tmp_path):
    """Its weights lie beside it, not where it names them."""
    (tmp_path / "net.prototxt").write_text(str(FIVE["net"]))
    solver = solver_in(tmp_path, str(FIVE["nesterov_step/solver"]))
    solver.restore(GOLDEN / "snap_iter_10.solverstate")
    assert solver.iter == 10
    assert solver.lr == pytest.approx(0.01)
    assert all(np.any(history) for history in solver._updater.flat_history())


@pytest.mark.parametrize("run", RUNS)
def test_twenty_updates_and_going_on_from_caffes_state(run, shared, tmp_path):
    folder = shared / "golden" / "solvers" / run
    arrays = np.load(folder / "trajectory.npz")
    for file in folder.iterdir():
        shutil.copyfile(file, tmp_path / file.name)
    solver = solver_in(tmp_path)
    start(solver, arrays)
    assert np.abs(train(solver, arrays, 0, 20) - arrays["loss"]).max() < TOLERANCE
    assert_weights(solver, arrays, "iter20")
    resumed = solver_in(tmp_path)
    resumed.restore(next(tmp_path.glob("snap_iter_10.solverstate*")))
    train(resumed, arrays, 10, 20)
    assert_weights(resumed, arrays, "iter20")
