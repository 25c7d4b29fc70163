"""Bad input: each kind ends with one clear message and its exit code, and leaves nothing half done."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from .conftest import NET, SOLVER, Run

TRAIN = ("train", "-solver", "solver.prototxt", "--engine", "reference")


def net(change: tuple[str, str] | None = None, extra: str = "") -> None:
    """Writes ``net.prototxt`` with a replacement and further layers."""
    text = NET.replace(*change) if change else NET
    assert change is None or text != NET
    Path("net.prototxt").write_text(text + extra)


def solver(*changes: tuple[str, str]) -> None:
    text = SOLVER
    for change in changes:
        assert change[0] in text
        text = text.replace(*change)
    Path("solver.prototxt").write_text(text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('"Convolution"', '"Convolutoin"'), ("net.prototxt:11:16", "unknown type 'Convolutoin'", "'Convolution'?")),
        (("num_output: 2", "num_ouput: 2"), ("net.prototxt:12:23", "no field 'num_ouput'", "'num_output'?")),
        (("include { phase: TEST }", "include { phase: TSET }"), ("expected one of TRAIN, TEST", "'TEST'?")),
        (('"conv" top: "ip"', '"cnov" top: "ip"'), ("bottom 'cnov' is produced by no earlier layer", "'conv'?")),
        (("kernel_size: 3", "kernel_size: 9"), ("layer 'conv' (Convolution)", "kernel 9x9", "6x6")),
        (("kernel_size: 3", "kernel_size: 0"), ("layer 'conv' (Convolution)", "kernel_size")),
        (("num_output: 2", "num_output: 0"), ("expected num_output >= 1, got 0",)),
        (("num_output: 2", "num_output: -2"), ("num_output: expected an integer from 0 on, got -2",)),
        (("dim: 6 dim: 6", "dim: 6 dim: -6"), ("layer 'data' (DummyData)", "-6")),
        (("num_output: 3", "num_output: 2000000000"), ("layer 'ip' (InnerProduct)", "GiB")),
        (('top: "ip"', 'top: "data"'), ("top 'data' is already produced by layer 'data'",)),
        (('"data" top: "conv"', '"ip" top: "conv"'), ("bottom 'ip'", "stands later in the file")),
        (("layer {\n  name: \"ip\"", "layer {\n  name \"ip\""), ("net.prototxt:16:",)),
    ],
)  # fmt: skip
def test_a_bad_net_is_exit_code_2_in_every_verb(
    run: Run, change: tuple[str, str], words: tuple[str, ...]
) -> None:
    net(change)
    for argv in (
        TRAIN,
        ("summary", "net.prototxt"),
        ("time", "-model", "net.prototxt", "--engine=reference"),
        ("check", "net.prototxt"),
    ):
        result = run(*argv)
        message = result.out + result.err
        assert result.code == 2, argv
        for word in words:
            assert word in message, (argv, word)
        assert "Traceback" not in message


def test_the_blobs_of_the_net_must_fit_the_memory(run: Run) -> None:
    net(("shape { dim: 4 dim: 1 dim: 6 dim: 6 }", "shape { dim: 4 dim: 1 dim: 20000 dim: 20000 }"))
    for engine in ("cpu", "reference"):
        result = run("time", "-model", "net.prototxt", "--engine", engine)
        assert result.code == 2
        assert re.search(r"[\d,.]+ GiB", result.err)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("train", "-solver", "absent.prototxt"), ("solver 'absent.prototxt' does not exist",)),
        (
            ("test", "-model", "absent.prototxt", "-weights", "net.prototxt"),
            ("net 'absent.prototxt' does not exist",),
        ),
        (
            ("test", "-model", "net.prototxt", "-weights", "absent.caffemodel"),
            ("absent.caffemodel' does not exist",),
        ),
        ((*TRAIN, "-snapshot", "absent.solverstate"), ("absent.solverstate' does not exist",)),
        ((*TRAIN, "-weights", "absent.caffemodel"), ("absent.caffemodel' does not exist",)),
        (("data", "mean", "absent_lmdb", "out"), ("absent_lmdb' does not exist",)),
        (("data", "mnist", "--from", "absent"), ("absent/train-images-idx3-ubyte' does not exist",)),
    ],
)
def test_missing_files_are_exit_code_3(run: Run, argv: tuple[str, ...], words: tuple[str, ...]) -> None:
    result = run(*argv)
    assert result.code == 3
    for word in words:
        assert word in result.err


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_truncated_files_are_exit_code_3(run: Run, tmp_path: Path, cut: int) -> None:
    run(*TRAIN)
    for name, flag in (("tiny_iter_4.caffemodel", "-weights"), ("tiny_iter_4.solverstate", "-snapshot")):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:cut])
        result = run(*TRAIN, flag, name)
        assert result.code == 3, (name, cut)
        assert name in result.err


def test_foreign_files(run: Run, tmp_path: Path) -> None:
    run(*TRAIN)
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4)
    for flag in ("-weights", "-snapshot"):
        result = run(*TRAIN, flag, "picture.jpg")
        assert result.code == 3
        assert "picture.jpg" in result.err
    assert run(*TRAIN, "-snapshot", "tiny_iter_4.caffemodel").code == 3
    (tmp_path / "lmdb").mkdir()
    (tmp_path / "lmdb" / "data.mdb").write_bytes(b"\0" * 100)
    assert run("data", "mean", "lmdb", "out.binaryproto").code == 3
    assert not (tmp_path / "out.binaryproto").exists()


def test_weights_of_another_shape(run: Run) -> None:
    run(*TRAIN)
    net(("num_output: 3", "num_output: 5"))
    result = run(*TRAIN, "-weights", "tiny_iter_8.caffemodel")
    assert result.code == 2
    for word in ("layer 'ip' (InnerProduct)", "3 32 (96) in the file", "5 32 (160) in the net", "Fix:"):
        assert word in result.err
    result = run(*TRAIN, "-snapshot", "tiny_iter_8.solverstate")
    assert result.code in (2, 3)
    assert "3 32 (96)" in result.err


def test_labels_out_of_range(run: Run) -> None:
    net(('"constant" value: 1', '"constant" value: 7'))
    result = run(*TRAIN)
    assert result.code == 3
    for word in ("layer 'loss' (SoftmaxWithLoss)", "7", "3"):
        assert word in result.err or "accuracy" in result.err


def test_a_loss_that_is_not_finite(run: Run) -> None:
    solver(("base_lr: 0.1", "base_lr: 1e30"))
    result = run(*TRAIN)
    assert result.code == 4
    assert re.search(
        r"error: iteration \d+: loss is (nan|inf); first non-finite blob in forward order: \S", result.err
    )


def test_scores_that_are_not_finite(run: Run) -> None:
    run(*TRAIN)
    net(('{ type: "gaussian" }', '{ type: "constant" value: inf }'))
    result = run(
        "test", "-model", "net.prototxt", "-weights", "tiny_iter_8.caffemodel", "--engine", "reference"
    )
    assert result.code == 4
    assert "batch 0: loss is nan" in result.err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([("lr_policy", "lr_polcy")], ("solver.prototxt:6:1", "'lr_policy'?")),
        ([('"step"', '"stp"'), ("max_iter: 8", "max_iter: -8")], ("'step'?", "max_iter >= 0")),
        ([("test_interval: 4", "test_interval: 0")], ("test_interval",)),
        ([('net: "net.prototxt"\n', "")], ("exactly one of net",)),
    ],
)
def test_bad_solvers_are_exit_code_2(
    run: Run, changes: list[tuple[str, str]], words: tuple[str, ...]
) -> None:
    solver(*changes)
    result = run(*TRAIN)
    assert result.code == 2
    for word in words:
        assert word in result.err


def test_snapshots_that_cannot_be_written_are_told_before_training(run: Run, tmp_path: Path) -> None:
    solver(('"tiny"', '"absent/tiny"'))
    result = run(*TRAIN)
    assert result.code == 1
    assert "snapshot prefix 'absent/tiny'" in result.err
    assert "Fix: create the directory" in result.err
    assert "Starting Optimization" not in result.err
    solver()
    (tmp_path / "file").write_text("")
    result = run(*TRAIN, "--run-dir", "file/run")
    assert result.code == 1
    assert "cannot make the folder" in result.err


def test_precisions_and_engines_that_there_are_not(run: Run) -> None:
    assert run("time", "-model", "net.prototxt", "--precision", "float16").code == 2
    assert run("time", "-model", "net.prototxt", "--precision", "float64").code == 5
    result = run("time", "-model", "net.prototxt", "--engine", "cpuu")
    assert (result.code, "did you mean 'cpu'?" in result.err) == (2, True)


def test_threads_of_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from caffelite.cpu import threads

    monkeypatch.setattr(threads, "_chosen", None)
    monkeypatch.setenv("CAFFELITE_THREADS", "many")
    threads._default_threads.cache_clear()
    try:
        result = run("device_query")
    finally:
        threads._default_threads.cache_clear()
    assert result.code == 2
    assert "CAFFELITE_THREADS in the environment: expected a number of threads, got 'many'" in result.err


def test_nothing_is_left_behind(run: Run, tmp_path: Path) -> None:
    """A run that fails at its last snapshot keeps the one before and no half-written file."""
    run(*TRAIN)
    before = sorted(os.listdir(tmp_path))
    solver(("base_lr: 0.1", "base_lr: 1e30"))
    run(*TRAIN)
    assert sorted(os.listdir(tmp_path)) == before
