"""pycaffe's solver classes: construction, attributes, training, callbacks, snapshots, weights that are shared."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

import caffelite as caffe
from caffelite.errors import CaffeliteError, UsageError

NET = """
name: "tiny"
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 } data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "acc" type: "Accuracy" bottom: "fc" bottom: "label" top: "acc" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "{folder}/net.prototxt" base_lr: 0.1 lr_policy: "step" stepsize: 3 gamma: 0.5 max_iter: 8 random_seed: 1
test_iter: 1 test_interval: 4 snapshot_prefix: "{folder}/snap" type: "{type}" {more}
"""
TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    return tmp_path


def file(folder: Path, type_: str = "SGD", more: str = "") -> str:
    if type_ == "AdaDelta":
        more += " momentum: 0.9"
    path = folder / "solver.prototxt"
    path.write_text(SOLVER.format(folder=folder, type=type_, more=more))
    return str(path)


def weights(solver: caffe.pycaffe.PySolver) -> np.ndarray:
    return solver.net.params["fc"][0].data.copy()


@pytest.mark.parametrize("type_", TYPES)
def test_classes(folder: Path, type_: str) -> None:
    """get_solver takes the file's type; a class takes its own, whatever the file says."""
    cls = getattr(caffe, f"{type_}Solver")
    path = file(folder, type_)
    assert type(caffe.get_solver(path)) is cls
    solver = cls(path)
    before = weights(solver)
    solver.step(2)
    assert solver.iter == 2 and not np.array_equal(weights(solver), before)
    other = cls(file(folder, "Adam" if type_ not in ("Adam", "AdaDelta") else type_))
    assert type(other) is cls and other.param.type == type_


def test_unknown_type(folder: Path) -> None:
    with pytest.raises(CaffeliteError, match="Adagrad"):
        caffe.get_solver(file(folder, "Adagrad"))
    with pytest.raises(RuntimeError, match="'nowhere' does not exist"):
        caffe.SGDSolver("nowhere")


def test_attributes(folder: Path) -> None:
    solver = caffe.SGDSolver(file(folder))
    assert isinstance(solver.net, caffe.Net) and solver.net.model.phase == caffe.TRAIN
    assert len(solver.test_nets) == 1 and solver.test_nets[0].outputs == ["acc", "loss"]
    assert (solver.iter, solver.param.max_iter, solver.param.display) == (0, 8, 0)
    assert solver.param.layer_wise_reduce is True
    assert solver.param.base_lr == pytest.approx(0.1)
    assert repr(solver) == "<SGDSolver of net 'tiny', iteration 0>"
    for name in ("iter", "lr", "param"):
        with pytest.raises(AttributeError):
            setattr(solver, name, 3)


def test_rate(folder: Path) -> None:
    """That of the next update; base_lr may be written at any time."""
    solver = caffe.SGDSolver(file(folder))
    solver.step(3)
    assert solver.lr == pytest.approx(0.05)
    solver.param.base_lr = 0
    before = weights(solver)
    solver.step(1)
    assert solver.lr == 0 and np.array_equal(weights(solver), before)


def test_step_takes_whole_numbers(folder: Path) -> None:
    solver = caffe.SGDSolver(file(folder))
    solver.step(np.int64(2))
    solver.step(0)
    assert solver.iter == 2
    for wrong in (1.5, "1", None):
        with pytest.raises(TypeError, match="step: expected a whole number"):
            solver.step(wrong)


def test_step_writes_no_snapshot_solve_does(folder: Path) -> None:
    solver = caffe.SGDSolver(file(folder))
    solver.step(8)
    assert not list(folder.glob("snap*"))
    solver = caffe.SGDSolver(file(folder))
    solver.solve()
    names = sorted(path.name for path in folder.glob("snap*"))
    assert solver.iter == 8 and names == ["snap_iter_8.caffemodel", "snap_iter_8.solverstate"]


@pytest.mark.parametrize("way", ["restore", "solve"])
def test_resuming(folder: Path, way: str) -> None:
    path = file(folder, more="momentum: 0.9")
    whole = caffe.SGDSolver(path)
    whole.step(5)
    assert whole.snapshot() is None
    whole.step(3)
    other = caffe.SGDSolver(path)
    state = str(folder / "snap_iter_5.solverstate")
    if way == "restore":
        other.restore(state)
        assert other.iter == 5
        other.step(3)
    else:
        other.solve(state)
    assert other.iter == 8
    np.testing.assert_array_equal(weights(other), weights(whole))


def test_order_of_an_iteration(folder: Path) -> None:
    """Tests, on_start, forward and backward, on_gradients_ready, update."""
    solver = caffe.SGDSolver(file(folder, more="iter_size: 2"))
    seen: list[str] = []
    solver.test_nets[0].after_forward(
        lambda layer: seen.append(f"test {solver.iter}") if layer == 0 else None
    )
    solver.net.before_forward(lambda layer: seen.append("forward") if layer == 0 else None)
    solver.net.after_backward(lambda layer: seen.append("backward") if layer == 1 else None)
    before = weights(solver)

    def ready() -> None:
        assert solver.net.params["fc"][0].diff.any() and np.array_equal(weights(solver), before)
        seen.append(f"ready {solver.iter}")

    solver.add_callback(lambda: seen.append(f"start {solver.iter}"), ready)
    solver.step(1)
    assert seen == ["test 0", "start 0", "forward", "backward", "forward", "backward", "ready 0"]
    assert not np.array_equal(weights(solver), before)


def test_callbacks(folder: Path) -> None:
    solver = caffe.SGDSolver(file(folder))
    solver.add_callback(caffe.NCCL(solver, caffe.NCCL.new_uid()))
    with pytest.raises(UsageError, match="expected two callables, got 3"):
        solver.add_callback(3, lambda: None)

    def scale() -> None:
        for blobs in solver.net.params.values():
            for blob in blobs:
                blob.diff[...] = 0

    solver.add_callback(lambda: None, scale)  # gradients may be changed before the update
    before = weights(solver)
    solver.step(2)
    assert np.array_equal(weights(solver), before)

    def fail() -> None:
        raise KeyError("stop")

    solver.add_callback(fail, fail)
    with pytest.raises(KeyError, match="stop"):
        solver.step(1)
    assert solver.iter == 2


def test_update_by_hand(folder: Path) -> None:
    solver = caffe.SGDSolver(file(folder))
    before = weights(solver)
    solver.net.params["fc"][0].diff[...] = 2
    solver.apply_update()
    assert solver.iter == 1
    np.testing.assert_allclose(weights(solver), before - 0.2, rtol=1e-5)


def test_test_nets_have_the_trained_weights(folder: Path) -> None:
    solver = caffe.SGDSolver(file(folder))
    solver.test_nets[0].share_with(solver.net)  # as scripts write it; they do already
    solver.step(5)
    np.testing.assert_array_equal(solver.test_nets[0].params["fc"][0].data, weights(solver))
    out = solver.test_nets[0].forward()
    assert set(out) == {"acc", "loss"} and float(solver.test_nets[0].blobs["acc"].data) == out["acc"]
    assert solver.test_nets[0].forward(start="fc")["acc"] == out["acc"]


def test_share_weights(folder: Path) -> None:
    solver = caffe.SGDSolver(file(folder))
    net = caffe.Net(str(folder / "net.prototxt"), caffe.TEST)
    solver.share_weights(net)
    solver.step(2)
    np.testing.assert_array_equal(net.params["fc"][0].data, weights(solver))
    with pytest.raises(TypeError, match="share_weights: expected a Net, got SGDSolver"):
        solver.share_weights(solver)


def test_nets_outlive_their_solver(folder: Path) -> None:
    solver = caffe.SGDSolver(file(folder))
    net, test_net = solver.net, solver.test_nets[0]
    blobs = net.blobs
    del solver
    net.forward()
    net.backward()
    test_net.forward()
    assert blobs["fc"].data.any()


def test_the_same_seed_the_same_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """set_random_seed serves solvers whose file names none."""
    monkeypatch.setattr("caffelite.defaults._seed", -1)
    path = file(folder)
    Path(path).write_text(Path(path).read_text().replace("random_seed: 1", ""))

    def run() -> np.ndarray:
        solver = caffe.SGDSolver(path)
        solver.step(3)
        return weights(solver)

    caffe.set_random_seed(5)
    first = run()
    caffe.set_random_seed(5)
    np.testing.assert_array_equal(run(), first)
    caffe.set_random_seed(6)
    assert not np.array_equal(run(), first)


def test_copies_are_refused(folder: Path) -> None:
    with pytest.raises(
        TypeError, match=r"SGDSolver: .* cannot be copied or pickled\n  Fix: solver.snapshot\(\)"
    ):
        copy.deepcopy(caffe.SGDSolver(file(folder)))
