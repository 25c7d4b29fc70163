"""Training runs that BVLC Caffe 1.0 made: the same weights after the same batches."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from caffelite.logs.log import Log
from caffelite.prototxt.source import parse_net, parse_solver, read_net, read_solver
from caffelite.prototxt.write import write_text
from caffelite.solver.solver import Solver
from caffelite.weights import load_state, load_weights

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


@pytest.mark.parametrize("run", RUNS)
def test_our_snapshot_holds_what_caffes_does(run, shared, tmp_path):
    """The same fields, and histories in the same order: both halves of AdaDelta's and Adam's."""
    folder = shared / "golden" / "solvers" / run
    arrays = np.load(folder / "trajectory.npz")
    for name in ("net.prototxt", "solver.prototxt"):
        shutil.copyfile(folder / name, tmp_path / name)
    solver = solver_in(tmp_path)
    start(solver, arrays)
    train(solver, arrays, 0, 20)
    ours, theirs = load_state(solver.snapshot()), load_state(next(folder.glob("snap_iter_20.solverstate*")))
    assert (ours.iter, ours.current_step) == (theirs.iter, theirs.current_step)
    assert Path(ours.learned_net).name == theirs.learned_net
    same_arrays(ours.history, theirs.history)
    blobs = [
        [blob for layer in load_weights(place / theirs.learned_net) for blob in layer.blobs]
        for place in (tmp_path, folder)
    ]
    same_arrays(*blobs)


def same_arrays(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape and np.abs(a - b).max() <= 10 * TOLERANCE * max(np.abs(b).max(), 1e-3)


PUBLISHED = {
    "resume_v1_cifar10_full": ("cifar10_full_train_test.prototxt", "solver.prototxt", 60000),
    "resume_hdf5_cifar10_quick": (
        "cifar10_quick_train_test.prototxt", "cifar10_quick_solver_lr1.prototxt", 5000,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_runs_go_on_in_either_format(name, shared, tmp_path):
    """A binary state of the V1 age and an HDF5 one, resumed, snapshot in the other format, and resumed again."""
    net, solver, iteration = PUBLISHED[name]
    folder = shared / "models" / name
    fed_by_hand(folder / net, tmp_path / "net.prototxt")
    first = published(folder / solver, tmp_path, "HDF5" if "v1" in name else "BINARYPROTO")
    first.restore(next(folder.glob("*.solverstate*")))
    assert first.iter == iteration and all(np.any(history) for history in first._updater.flat_history())
    steps(first, 0, 1)
    second = published(folder / solver, tmp_path, "BINARYPROTO")
    second.restore(first.snapshot())
    steps(first, 1, 2)
    steps(second, 1, 2)
    for (_, ours), (_, theirs) in zip(second.net.learnables, first.net.learnables, strict=True):
        assert np.array_equal(ours.data, theirs.data)


def fed_by_hand(file, target):
    """The training net with inputs in place of its database."""
    message = read_net(file).message
    layers = [layer for layer in message.layer if layer.type != "Data"]
    given = parse_net(
        'layer { name: "cifar" type: "Input" top: "data" top: "label" input_param { '
        "shape { dim: 4 dim: 3 dim: 32 dim: 32 } shape { dim: 4 } } }"
    ).message
    del message.layer[:]
    message.layer.extend([*given.layer, *layers])
    target.write_text(write_text(message))


def published(file, folder, format_):
    source = read_solver(file)
    p = source.message
    p.ClearField("test_iter")
    p.net, p.snapshot_prefix, p.snapshot, p.max_iter, p.display = "net.prototxt", "snap", 0, 100000, 0
    p.snapshot_format = (
        p.DESCRIPTOR.fields_by_name["snapshot_format"].enum_type.values_by_name[format_].number
    )
    return Solver(source, engine="reference", log=Log(), root=folder)


def steps(solver, first, last):
    for iteration in range(first, last):
        rng = np.random.default_rng(iteration)
        solver.net.blob("data")[...] = rng.uniform(-100, 100, (4, 3, 32, 32))
        solver.net.blob("label")[...] = rng.integers(0, 10, 4)
        solver.step()
