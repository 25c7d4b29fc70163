"""Snapshots: what is in them, going on from them bit for bit, and files that do not fit."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from caffelite.data.datum import Datum
from caffelite.data.lmdb import LmdbWriter
from caffelite.errors import DataError, MissingFileError, NetError, SnapshotError, WeightsError
from caffelite.weights import load_state, load_weights, write_solverstate

from .conftest import NET

TESTED = "test_iter: 2 test_interval: 2 "
FORMATS = {"BINARYPROTO": "", "HDF5": ".h5"}
RULES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")

DATA_NET = """
name: "fed"
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { mirror: true crop_size: 3 scale: 0.01 }
  data_param { source: "SOURCE" backend: LMDB batch_size: 3 shuffle: true prefetch: 2 } }
layer { name: "drop" type: "Dropout" bottom: "data" top: "drop" }
layer { name: "ip" type: "InnerProduct" bottom: "drop" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture
def data_net(tmp_path):
    images = np.random.default_rng(2).integers(0, 255, (10, 4, 4), np.uint8)
    return net_on(tmp_path, [Datum(1, 4, 4, image.tobytes(), i % 4) for i, image in enumerate(images)])


@pytest.fixture
def encoded_net(tmp_path):
    """Its batches are made by worker processes."""
    cv2 = pytest.importorskip("cv2")
    images = np.random.default_rng(2).integers(0, 255, (10, 4, 4, 3), np.uint8)
    files = [cv2.imencode(".jpg", image)[1].tobytes() for image in images]
    return net_on(tmp_path, [Datum(data=file, label=i % 4, encoded=True) for i, file in enumerate(files)])


def net_on(folder, records):
    with LmdbWriter(folder / "db") as writer:
        for record in records:
            writer.put(record)
    return DATA_NET.replace("SOURCE", str(folder / "db"))


def everything(solver):
    """All that a run has come to, as bytes."""
    params = [param.data.tobytes() for _, param in solver.net.learnables]
    history = [array.tobytes() for array in solver._updater.flat_history()]
    return solver.iter, params, history, solver.smoothed_loss, solver.lr, [solver.net.state_dict()]


def printed(records):
    return records.texts("test_output", "train_output")


# -- going on -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("type_", RULES)
def test_resuming_equals_never_stopping(make, records, tmp_path, type_, format_):
    momentum = "" if type_ in ("AdaGrad", "RMSProp") else "momentum: 0.9"
    fields = (
        f'{TESTED} base_lr: 0.05 weight_decay: 0.01 {momentum} type: "{type_}" snapshot: 3 snapshot_format: {format_} '
        'lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 5 average_loss: 4 display: 1 iter_size: 2 max_iter: 8'
    )
    unbroken = make(fields)
    unbroken.solve()
    lines = printed(records)
    for start in (3, 6):  # at 6 two steps are behind, and half of the losses that the last average is of
        records.records.clear()
        resumed = make(fields, seed=99)  # the state brings its own seed
        resumed.solve(tmp_path / f"snap_iter_{start}.solverstate{FORMATS[format_]}")
        assert everything(resumed) == everything(unbroken)
        assert printed(records) == lines[-len(printed(records)) :]


@pytest.mark.parametrize("observe", [True, False])
@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_resuming_goes_on_in_the_data(make, data_net, tmp_path, engine, observe):
    unbroken = make("max_iter: 9 snapshot: 4", net=data_net, engine=engine, observe=observe)
    unbroken.solve()
    resumed = make("max_iter: 9 snapshot: 4", net=data_net, seed=5, engine=engine, observe=observe)
    resumed.solve(tmp_path / "snap_iter_4.solverstate")
    assert everything(resumed) == everything(unbroken)
    unbroken.close()
    resumed.close()


def test_a_snapshot_during_a_test_repeats_the_test(make, records, tmp_path):
    solver = make(TESTED + "max_iter: 4")
    hooks = solver.test_nets[0].hooks.before_forward
    hooks.append(lambda index: solver.iter == 2 and solver.request_snapshot())
    solver.solve()
    lines = printed(records)
    records.records.clear()
    resumed = make(TESTED + "max_iter: 4")
    resumed.solve(tmp_path / "snap_iter_2.solverstate")
    assert printed(records) == lines[-2:]
    assert everything(resumed)[:3] == everything(solver)[:3]


def test_killed_anywhere_a_run_comes_to_the_same_weights(encoded_net, tmp_path):
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
        (folder / "net.prototxt").write_text(encoded_net)
        (folder / "solver.prototxt").write_text(
            'net: "net.prototxt" base_lr: 0.1 momentum: 0.9 lr_policy: "step" gamma: 0.7 stepsize: 9 max_iter: 30 '
            'snapshot: 4 snapshot_prefix: "snap" random_seed: 8 type: "Adam"'
        )
    assert run_to_end(folders[0]) == "done 30"
    draw = random.Random(os.environ.get("CAFFELITE_TEST_SEED", "4"))
    done = 0
    for _ in range(3):
        run = start(folders[1], *newest_state(folders[1]))
        kill_at = draw.randint(done, 29)
        for line in run.stdout:
            done = int(line.split()[-1])
            if done >= kill_at:
                break
        run.kill()
        run.wait()
        run.stdout.close()
    assert run_to_end(folders[1], *newest_state(folders[1])) == "done 30"
    weights = [load_weights(folder / "snap_iter_30.caffemodel") for folder in folders]
    for ours, theirs in zip(*weights, strict=True):
        assert [blob.tobytes() for blob in ours.blobs] == [blob.tobytes() for blob in theirs.blobs]
    assert not list(folders[1].glob("*.tempfile"))


def start(folder, *state, **options):
    script = Path(__file__).with_name("train.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(script.parents[2]), *sys.path])}
    return subprocess.Popen(
        [sys.executable, script, folder, *state],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def run_to_end(folder, *state):
    out, _ = start(folder, *state).communicate(timeout=240)
    return out.strip().splitlines()[-1]


def newest_state(folder):
    states = sorted(folder.glob("*.solverstate"), key=lambda path: int(re.findall(r"\d+", path.name)[0]))
    return [str(states[-1])] if states else []


# -- signals ------------------------------------------------------------------------------------------------


@pytest.fixture
def endless(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 1000000 snapshot_prefix: "snap"'
    )
    return tmp_path


def test_sigint_stops_with_a_snapshot(endless):
    run = start(endless)
    run.stdout.readline()
    run.send_signal(signal.SIGINT)
    last = run.communicate(timeout=240)[0].strip().splitlines()[-1]
    assert run.returncode == 0 and last.startswith("stopped")
    assert (endless / f"snap_iter_{last.split()[1]}.solverstate").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP on this system")
def test_sighup_snapshots_and_goes_on_and_sigterm_snapshots_and_stops(endless):
    solver = endless / "solver.prototxt"
    solver.write_text(solver.read_text() + " snapshot_after_train: false")
    run = start(endless)
    run.stdout.readline()
    run.send_signal(signal.SIGHUP)
    while not newest_state(endless):
        run.stdout.readline()
    run.send_signal(signal.SIGTERM)
    last = run.communicate(timeout=240)[0].strip().splitlines()[-1]
    assert run.returncode == 0 and last.startswith("stopped")
    assert newest_state(endless) == [str(endless / f"snap_iter_{last.split()[1]}.solverstate")]
    assert len(list(endless.glob("*.solverstate"))) == 2


# -- files --------------------------------------------------------------------------------------------------


def test_what_a_state_holds(make, tmp_path):
    solver = make("max_iter: 3 snapshot_diff: true")
    solver.solve()
    state = load_state(tmp_path / "snap_iter_3.solverstate")
    assert state.iter == 3 and state.learned_net == str(tmp_path / "snap_iter_3.caffemodel")
    assert [array.shape for array in state.history] == [param.shape for _, param in solver.net.learnables]
    assert state.extra["seed"] == 3 and state.extra["train"]["passes"] == 3
    diffs = [
        layer.diffs for layer in load_weights(tmp_path / "snap_iter_3.caffemodel", diffs=True) if layer.blobs
    ]
    assert np.array_equal(diffs[0][0], solver.net.params["ip1"][0].grad)


def test_moved_snapshots_are_found_beside_each_other(make, tmp_path):
    make("max_iter: 2").solve()
    (tmp_path / "elsewhere").mkdir()
    for file in tmp_path.glob("snap*"):
        shutil.move(file, tmp_path / "elsewhere")
    solver = make()
    solver.restore(tmp_path / "elsewhere" / "snap_iter_2.solverstate")
    assert solver.iter == 2
    (tmp_path / "elsewhere" / "snap_iter_2.caffemodel").unlink()
    before = everything(solver := make(seed=9))
    with pytest.raises(MissingFileError, match="Fix: put them there, or beside the state as '.*elsewhere"):
        solver.restore(tmp_path / "elsewhere" / "snap_iter_2.solverstate")
    assert everything(solver) == before


@pytest.mark.parametrize("format_", FORMATS)
def test_weights_of_another_run_are_refused(make, tmp_path, format_):
    fields, end = f"max_iter: 2 snapshot_format: {format_}", FORMATS[format_]
    first = make(fields)
    first.solve()
    (tmp_path / "kept").mkdir()
    for file in tmp_path.glob("snap*"):
        shutil.copy(file, tmp_path / "kept")
    other = make(fields, seed=7)
    other.step(2)
    other.net.save(tmp_path / f"snap_iter_2.caffemodel{end}")  # and was killed before its state
    solver = make(fields)
    before = everything(solver)
    with pytest.raises(WeightsError, match="expected the weights that were saved with it, got others"):
        solver.restore(tmp_path / f"snap_iter_2.solverstate{end}")
    assert everything(solver) == before
    solver.restore(tmp_path / "kept" / f"snap_iter_2.solverstate{end}")  # its own lie beside it
    assert everything(solver)[:3] == everything(first)[:3]


def test_a_state_without_our_part_is_restored_with_a_remark(make, records, tmp_path):
    solver = make("max_iter: 2")
    solver.solve()
    state = load_state(tmp_path / "snap_iter_2.solverstate")
    state.extra = {}
    write_solverstate(tmp_path / "caffes.solverstate", state)
    resumed = make()
    resumed.restore(tmp_path / "caffes.solverstate")
    assert "The state holds no data positions and no random state: both start anew" in records.texts(
        "message"
    )
    assert everything(resumed)[:3] == everything(solver)[:3]


def test_weights_in_place_of_a_state(make, tmp_path):
    make("max_iter: 1").solve()
    with pytest.raises(WeightsError, match=r"got a Caffe model.*\n  Fix: resume from the .solverstate"):
        make().restore(tmp_path / "snap_iter_1.caffemodel")


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda state: state.history.pop(),
            "expected 4 history blobs .1 for each of 4 learnable blobs .* got 3",
        ),
        (
            lambda state: state.history.reverse(),
            "history blob 0 belongs to param 0 .'W'. of layer 'ip1': expected 5 6 .30., got 2 .2.",
        ),
        (lambda state: state.extra.update(version=2), "expected a state of version 1 at most, got version 2"),
    ],
)
def test_states_that_do_not_fit(make, tmp_path, change, message):
    make("max_iter: 1").solve()
    path = tmp_path / "snap_iter_1.solverstate"
    state = load_state(path)
    change(state)
    write_solverstate(path, state)
    solver = make()
    before = everything(solver)
    with pytest.raises(WeightsError, match=message):
        solver.restore(path)
    assert everything(solver)[:3] == before[:3]


def test_a_state_of_another_type_with_as_many_blobs(make, records, tmp_path):
    make("max_iter: 1").solve()
    make('type: "Nesterov"').restore(tmp_path / "snap_iter_1.solverstate")
    assert 'The state was written by type "SGD", this solver is "Nesterov"' in records.texts("message")


def test_a_state_for_other_data_changes_nothing(make, data_net, tmp_path):
    make("max_iter: 1", net=data_net).solve()
    with LmdbWriter(tmp_path / "db2") as writer:
        writer.put(Datum(1, 4, 4, bytes(16), 0))
    solver = make(net=data_net.replace(str(tmp_path / "db"), str(tmp_path / "db2")))
    before = everything(solver)
    with pytest.raises(DataError, match="records = 10"):
        solver.restore(tmp_path / "snap_iter_1.solverstate")
    assert everything(solver)[:3] == before[:3]


def test_no_such_state(make, tmp_path):
    with pytest.raises(MissingFileError, match="nothing.solverstate"):
        make().solve(tmp_path / "nothing.solverstate")


def test_weights_field_and_fine_tuning(make, tmp_path):
    solver = make("max_iter: 1")
    solver.solve()
    started = make('weights: "snap_iter_1.caffemodel, snap_iter_1.caffemodel"')
    assert np.array_equal(started.net.params["ip1"][0].data, solver.net.params["ip1"][0].data)
    with pytest.raises(NetError, match="layer 'ip1'"):
        make('weights: "snap_iter_1.caffemodel"', net=NET.replace("num_output: 5", "num_output: 6"))


@pytest.mark.parametrize("too_large", ["weights", "state"])
def test_a_full_disk_is_named_and_older_snapshots_stay(make, tmp_path, too_large):
    resource = pytest.importorskip("resource", reason="no limit on file sizes on this system")
    solver = make(
        'type: "Adam" momentum: 0.9 base_lr: 0.01', net=NET.replace("num_output: 5", "num_output: 50")
    )
    solver.step(1)
    solver.snapshot()
    files = {path.name: path.read_bytes() for path in tmp_path.glob("snap*")}
    room = len(files["snap_iter_1.caffemodel"])
    assert room < len(files["snap_iter_1.solverstate"])
    solver.step(1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room - (too_large == "weights"), before[1]))
    try:
        with pytest.raises(SnapshotError, match="Fix: free some space on the disk"):
            solver.snapshot()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {name: (tmp_path / name).read_bytes() for name in files} == files
    assert not (tmp_path / "snap_iter_2.solverstate").exists() and not list(tmp_path.glob(".*"))
    solver.snapshot()  # once there is room the run goes on
    assert (tmp_path / "snap_iter_2.solverstate").exists()
