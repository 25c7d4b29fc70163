"""train, test, time, device_query, data: runs, their log lines and what they leave."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import caffelite
from caffelite.weights import load_weights

from .conftest import SOLVER, Run

TRAIN = ("train", "-solver", "solver.prototxt", "--engine", "reference")

# The expressions of Caffe's tools/extra/parse_log.py.
ITERATION = re.compile(r"Iteration (\d+)")
TRAIN_OUTPUT = re.compile(r"Train net output #(\d+): (\S+) = ([\.\deE+-]+)")
TEST_OUTPUT = re.compile(r"Test net output #(\d+): (\S+) = ([\.\deE+-]+)")
RATE = re.compile(r"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)")


def said(err: str) -> list[str]:
    """The log's lines without time and thread: ``caffe.cpp:197] Use CPU.``."""
    return [
        re.sub(r"^[IWEF]\d+ [\d:.]+ +\d+ ", "", line)
        for line in err.splitlines()
        if re.match(r"[IWEF]\d{4}", line)
    ]


# -- train ----------------------------------------------------------------------------------------------------


def test_training_log_as_parse_log_reads_it(run: Run) -> None:
    result = run(*TRAIN)
    assert result.code == 0
    train, test, rates, iteration = [], [], [], -1
    for line in result.err.splitlines():
        if found := ITERATION.search(line):
            iteration = int(found[1])
        if found := TRAIN_OUTPUT.search(line):
            train.append((iteration, found[2], float(found[3])))
        if found := TEST_OUTPUT.search(line):
            test.append((iteration, found[2], float(found[3])))
        if found := RATE.search(line):
            rates.append((iteration, float(found[1])))
    assert [(i, name) for i, name, _ in train] == [(i, "loss") for i in (0, 2, 4, 6)]
    assert [(i, name) for i, name, _ in test] == [
        (i, name) for i in (0, 4, 8) for name in ("accuracy", "loss")
    ]
    assert rates == [(0, 0.1), (2, 0.1), (4, 0.05), (6, 0.05)]
    assert all(0 <= value < 10 for _, _, value in train + test)


def test_training_log_tells_what_caffe_tells(run: Run) -> None:
    lines = said(run(*TRAIN).err)
    for line in (
        "caffe.cpp:197] Use CPU.", "solver.cpp:45] Initializing solver from parameters: ", "net.cpp:408] conv <- data",
        "net.cpp:369] relu -> conv (in-place)", "net.cpp:131] Top shape: 4 2 4 4 (128)",
        "net.cpp:257] Network initialization done.", "caffe.cpp:239] Starting Optimization", "solver.cpp:289] Solving tiny",
        "solver.cpp:464] Snapshotting to binary proto file tiny_iter_4.caffemodel",
        "sgd_solver.cpp:284] Snapshotting solver state to binary proto file tiny_iter_8.solverstate",
        "solver.cpp:332] Optimization Done.", "caffe.cpp:250] Optimization Done.",
    ):  # fmt: skip
        assert line in lines


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("saving", ["", "snapshot: 1"])
def test_a_diverged_run_fails_and_saves_no_nan(run: Run, tmp_path: Path, engine: str, saving: str) -> None:
    text = SOLVER.replace("snapshot: 4", f"{saving} momentum: 0.9 weight_decay: 1").replace(
        "gamma: 0.5", "gamma: 1"
    )
    text = text.replace("base_lr: 0.1", "base_lr: 1e9").replace("max_iter: 8", "max_iter: 40")
    (tmp_path / "solver.prototxt").write_text(text)
    result = run("train", "-solver", "solver.prototxt", "--engine", engine)
    assert result.code == 4
    assert re.search(
        r"^error: iteration \d+: (loss|param) .*\n  Fix: lower base_lr", result.err, re.MULTILINE
    )
    assert "Optimization Done." not in result.err
    for file in tmp_path.glob("*.caffemodel"):
        assert all(np.isfinite(blob).all() for layer in load_weights(file) for blob in layer.blobs)


def test_weights_that_are_no_numbers_get_no_score(run: Run, tmp_path: Path) -> None:
    run(*TRAIN)
    net = caffelite.Net("net.prototxt", caffelite.TEST, weights="tiny_iter_8.caffemodel")
    net.params["conv"][1].data[0] = np.nan
    net.save("spoiled.caffemodel")
    result = run("test", "-model", "net.prototxt", "-weights", "spoiled.caffemodel", "-iterations", "1")
    assert result.code == 4
    assert "param 1 ('b', 2 (2)) of layer 'conv': 1 of 2 values are not finite" in result.err


def test_resume_and_finetune(run: Run) -> None:
    run(*TRAIN)
    resumed = said(run(*TRAIN, "-snapshot", "tiny_iter_4.solverstate").err)
    assert "caffe.cpp:235] Resuming from tiny_iter_4.solverstate" in resumed
    assert any(line.startswith("solver.cpp:239] Iteration 4 ") for line in resumed)
    assert not any(line.startswith("solver.cpp:239] Iteration 2 ") for line in resumed)
    finetuned = said(run(*TRAIN, "-weights", "tiny_iter_4.caffemodel,tiny_iter_8.caffemodel").err)
    assert [line.split("] ")[1] for line in finetuned if "Finetuning" in line] == [
        "Finetuning from tiny_iter_4.caffemodel", "Finetuning from tiny_iter_8.caffemodel",
    ]  # fmt: skip


def test_stage_level_and_seed_reach_the_training_net(run: Run, tmp_path: Path) -> None:
    text = (tmp_path / "net.prototxt").read_text()
    extra = 'layer { name: "more" type: "Silence" bottom: "ip" include { stage: "extra" min_level: 2 } }'
    (tmp_path / "net.prototxt").write_text(text + extra)
    with_it = said(run(*TRAIN, "-stage", "extra,other", "-level=2", "--seed", "5").err)
    assert [line for line in with_it if line == "net.cpp:86] Creating Layer more"] == [
        "net.cpp:86] Creating Layer more"
    ]
    assert "random_seed: 5" in run(*TRAIN, "--seed", "5").err
    assert not any("Layer more" in line for line in said(run(*TRAIN).err))


def test_gpu_mode_in_the_file_is_remarked_on(run: Run, without_cupy: None, tmp_path: Path) -> None:
    (tmp_path / "solver.prototxt").write_text(SOLVER.replace("solver_mode: CPU", "solver_mode: GPU"))
    result = run("train", "-solver", "solver.prototxt")
    assert result.code == 0
    assert "solver_mode: GPU: GPU 0: CuPy is not installed" in result.err
    assert "solver_mode: GPU has no effect: the engine is 'cpu'" in result.err


def test_missing_files_are_told_before_nets_are_built(run: Run) -> None:
    for flag in ("-weights", "-snapshot"):
        result = run(*TRAIN, flag, "nowhere.solverstate", "--run-dir", "a")
        assert result.code == 3
        assert "'nowhere.solverstate' does not exist" in result.err
        assert "Creating" not in result.err and not Path("a").exists()
    result = run("test", "-model", "net.prototxt", "-weights", "nowhere.caffemodel")
    assert result.code == 3
    assert "Creating" not in result.err


def test_quiet_training(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "2")
    assert run(*TRAIN).err == ""


def test_training_log_in_json(run: Run) -> None:
    records = [json.loads(line) for line in run(*TRAIN, "--log-format=json").err.splitlines()]
    losses = {r["iteration"]: r["value"] for r in records if r["kind"] == "train_output"}
    assert list(losses) == [0, 2, 4, 6]


def test_training_log_to_read(run: Run) -> None:
    err = run(*TRAIN, "--log-format", "rich").err
    assert re.search(r"^\d\d:\d\d:\d\d  Iteration 4, lr = 0.05$", err, re.MULTILINE)
    assert "Creating Layer" not in err
    assert err.count("Optimization Done.") == 1


def _start_training(tmp_path: Path) -> subprocess.Popen[str]:
    """A run that would take hours, after its first snapshot."""
    text = SOLVER.replace("max_iter: 8", "max_iter: 100000000").replace("snapshot: 4", "snapshot: 10")
    text = text.replace("display: 2", "display: 100000000").replace(
        "test_interval: 4", "test_interval: 100000000"
    )
    (tmp_path / "solver.prototxt").write_text(text)
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "caffelite", *TRAIN],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "tiny_iter_10.solverstate").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_snapshot_stop_and_end_with_0(tmp_path: Path, number: int) -> None:
    process = _start_training(tmp_path)
    process.send_signal(number)
    _, err = process.communicate(timeout=240)
    lines = said(err)
    assert process.returncode == 0
    assert "Snapshotting solver state" in lines[-4]
    assert lines[-3:-1] == [
        "solver.cpp:311] Optimization stopped early.",
        "caffe.cpp:250] Optimization Done.",
    ]
    state = lines[-4].split()[-1]
    assert re.fullmatch(r"tiny_iter_\d+\.solverstate", state)
    assert lines[-1] == (
        f"caffe.cpp:250] To go on: caffelite train -solver solver.prototxt -snapshot {state} --engine=reference"
    )


def test_a_second_interrupt_stops_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from caffelite.solver.solver import Solver

    def interrupted(solver: Solver) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(Solver, "_iterate", interrupted)
    result = run(*TRAIN)
    assert (result.code, result.err.splitlines()[-1]) == (130, "error: interrupted")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(("effect", "code"), [("snapshot", 0), ("none", 0)])
def test_effects_of_an_interrupt(run: Run, monkeypatch: pytest.MonkeyPatch, effect: str, code: int) -> None:
    from caffelite.solver.solver import Solver

    real = Solver._iterate

    def interrupted(solver: Solver) -> None:
        real(solver)
        if solver.iter == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Solver, "_iterate", interrupted)
    assert run(*TRAIN, "-sigint_effect", effect).code == code
    assert Path("tiny_iter_3.solverstate").exists() == (effect == "snapshot")
    assert Path("tiny_iter_8.solverstate").exists()


# -- test -----------------------------------------------------------------------------------------------------


def test_scores(run: Run) -> None:
    run(*TRAIN)
    argv = ("test", "-model", "net.prototxt", "-weights", "tiny_iter_8.caffemodel", "-iterations", "3")
    lines = said(run(*argv, "--engine", "reference").err)
    batches = [re.fullmatch(r"caffe.cpp:304\] Batch (\d), (accuracy|loss) = (\S+)", line) for line in lines]
    found = [(match[1], match[2], float(match[3])) for match in batches if match]
    assert [(i, name) for i, name, _ in found] == [
        (str(i), name) for i in range(3) for name in ("accuracy", "loss")
    ]
    loss = np.mean([value for _, name, value in found if name == "loss"])
    assert "caffe.cpp:281] Running for 3 iterations." in lines
    mean = next(float(line.split(": ")[1]) for line in lines if line.startswith("caffe.cpp:309] Loss: "))
    assert mean == pytest.approx(loss, rel=1e-4)
    assert re.fullmatch(r"caffe.cpp:321\] loss = (\S+) \(\* 1 = \1 loss\)", lines[-1])
    assert re.fullmatch(r"caffe.cpp:321\] accuracy = \S+", lines[-2])


# -- time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["cpu", "reference"])
def test_times(run: Run, engine: str) -> None:
    result = run("time", "-model=net.prototxt", "-iterations=2", "--engine", engine, "-weights", "not read")
    assert result.code == 0
    lines = said(result.err)
    number = r"[\d.e+-]+"
    for pattern in (
        r"caffe.cpp:343\] Use CPU\.", rf"caffe.cpp:356\] Initial loss: {number}", r"caffe.cpp:366\] Testing for 2 iterations\.",
        rf"caffe.cpp:394\] Iteration: 2 forward-backward time: {number} ms\.", r"caffe.cpp:397\] Average time per layer: ",
        rf"caffe.cpp:400\]       conv\tforward: {number} ms\.", rf"caffe.cpp:403\]       conv\tbackward: {number} ms\.",
        rf"caffe.cpp:408\] Average Forward pass: {number} ms\.", rf"caffe.cpp:410\] Average Backward pass: {number} ms\.",
        rf"caffe.cpp:412\] Average Forward-Backward: {number} ms\.", rf"caffe.cpp:414\] Total Time: {number} ms\.",
    ):  # fmt: skip
        assert any(re.fullmatch(pattern, line) for line in lines), pattern
    assert lines[-1] == "caffe.cpp:415] *** Benchmark ends ***"
    assert not any("accuracy" in line for line in lines if "time" in line)  # phase TRAIN


def test_times_of_a_net_without_loss(run: Run, tmp_path: Path) -> None:
    net = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } } '
    net += (
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }'
    )
    (tmp_path / "deploy.prototxt").write_text(net)
    lines = said(
        run(
            "time", "-model", "deploy.prototxt", "-iterations", "2", "--engine", "reference", "-phase", "TEST"
        ).err
    )
    assert "net.cpp:200] ip needs backward computation." in lines


# -- the log of a real Caffe ----------------------------------------------------------------------------------


def _norm(text: str) -> list[str]:
    """Lines without time and thread, numbers as #; without those that depend on threads, values or our own wording."""
    skipped = ("data_layer", "blocking_queue", "sgd_solver.cpp:99", "db_lmdb", "net.cpp:296", "layer_factory", "layers loaded",
               "Computed inside")  # fmt: skip
    lines = [line for line in said(text) if not any(word in line for word in skipped)]
    return [re.sub(r"-?\d+(\.\d+)?(e[-+]\d+)?", "#", line) for line in lines]


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("train", ("train", "-solver", "solver.prototxt")),
        ("resume", ("train", "-solver", "solver.prototxt", "-snapshot", "tiny_iter_20.solverstate")),
        (
            "test",
            ("test", "-model", "net.prototxt", "-weights", "tiny_iter_30.caffemodel", "-iterations", "3"),
        ),
        ("time", ("time", "-model", "net.prototxt", "-iterations", "3")),
    ],
)
def test_logs_have_the_lines_of_caffes(
    run: Run, shared: Path, tmp_path: Path, name: str, argv: tuple[str, ...]
) -> None:
    logs = shared / "golden" / "logs"
    for file in ("net.prototxt", "solver.prototxt"):
        (tmp_path / file).write_bytes((logs / file).read_bytes())
    (tmp_path / "raw_lmdb").symlink_to(shared / "golden" / "data" / "raw_lmdb")
    if name != "train":
        assert run("train", "-solver", "solver.prototxt").code == 0
    result = run(*argv)
    assert result.code == 0
    assert _norm(result.err) == _norm((logs / f"{name}.log").read_text())


# -- device_query, data ---------------------------------------------------------------------------------------


def test_device_query(run: Run) -> None:
    out = run("device_query").out
    for word in ("Name:", "Usable cores:", "Threads:", "Instructions:", "oneDNN:", "denormal"):
        assert word in out


def test_threads_are_set(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from caffelite.cpu import threads

    monkeypatch.setattr(threads, "_chosen", None)
    run("time", "-model", "net.prototxt", "-iterations", "1", "--threads", "1")
    assert threads.num_threads() == 1


def _idx(path: Path, array: np.ndarray) -> None:
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(head + array.tobytes())


def test_mnist_and_its_mean(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "idx"
    source.mkdir()
    for part, count in (("train", 3), ("t10k", 2)):
        _idx(source / f"{part}-images-idx3-ubyte", np.full((count, 4, 4), 6, np.uint8))
        _idx(source / f"{part}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8))
    result = run("data", "mnist", "--from", "idx", "--to", "out")
    assert result.code == 0
    assert "wrote out/mnist_train_lmdb" in result.out
    mean = run("data", "mean", "out/mnist_train_lmdb", "mean.binaryproto")
    assert mean.out == "Number of channels: 1\nmean_value channel [0]: 6\n"
    assert (tmp_path / "mean.binaryproto").stat().st_size > 16 * 4
    assert run("data", "mnist", "--from", "idx", "--to", "out").code == 3
