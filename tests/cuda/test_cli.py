"""The command line on a GPU, here an emulated one."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite import engine as engines
from caffelite.cli.main import main
from caffelite.cuda import device

from .emulated import EmulatedDevice
from .test_nets import BODY, DATA, LOSS

SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 4 display: 1 snapshot: 2 snapshot_prefix: "net"
momentum: 0.9 weight_decay: 0.01 random_seed: 1 test_iter: 1 test_interval: 2
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A solver and its net, on a machine with one GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(device, "open_device", lambda number=0: EmulatedDevice())
    monkeypatch.setattr(device, "count_gpus", lambda: 1)
    engines._make.cache_clear()
    (tmp_path / "net.prototxt").write_text(DATA + BODY + LOSS)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    yield tmp_path
    engines._make.cache_clear()


def weights(path):
    from caffelite.weights import load_weights

    return [np.array(blob) for record in load_weights(path) for blob in record.blobs]


@pytest.mark.parametrize("type_", ["SGD", "Adam"])
def test_training_writes_what_the_cpu_writes(folder, capsys, type_):
    (folder / "solver.prototxt").write_text(
        SOLVER + f'type: "{type_}"' + (" momentum2: 0.99" if type_ == "Adam" else "")
    )
    results = []
    for words in (["-gpu", "0"], ["--engine", "cuda"], []):
        assert main(["train", "-solver", "solver.prototxt", *words]) == 0
        results.append(weights("net_iter_4.caffemodel"))
    assert "Using GPU: emulated" in capsys.readouterr().err
    for mine, same, its in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, same)
        np.testing.assert_allclose(mine, its, atol=2e-4)


def test_a_resumed_run_equals_an_unbroken_one(folder):
    assert main(["train", "-solver", "solver.prototxt", "-gpu", "all"]) == 0
    unbroken = weights("net_iter_4.caffemodel")
    assert (
        main(["train", "-solver", "solver.prototxt", "-gpu", "0", "-snapshot", "net_iter_2.solverstate"]) == 0
    )
    for one, other in zip(weights("net_iter_4.caffemodel"), unbroken, strict=True):
        np.testing.assert_array_equal(one, other)


def test_solver_mode_chooses_it(folder, capsys):
    (folder / "solver.prototxt").write_text(SOLVER + "solver_mode: GPU")
    assert main(["train", "-solver", "solver.prototxt"]) == 0
    error = capsys.readouterr().err
    assert "Using GPU: emulated" in error and "has no effect" not in error
    assert main(["train", "-solver", "solver.prototxt", "--engine", "cpu"]) == 0
    assert "Use CPU." in capsys.readouterr().err


def test_other_verbs(folder, capsys):
    assert main(["time", "-model", "net.prototxt", "-gpu", "0", "-iterations", "2"]) == 0
    assert main(["show", "net.prototxt", "--engine", "cuda", "--stage", "plan"]) == 0
    assert "cupy" in capsys.readouterr().out
    assert main(["device_query", "-gpu", "all"]) == 0
    assert "emulated" in capsys.readouterr().out
    assert main(["device_query"]) == 0
    assert "GPUs:                 emulated" in capsys.readouterr().out


def test_contradictions(folder, capsys):
    assert main(["time", "-model", "net.prototxt", "-gpu", "0", "--engine", "cpu"]) == 2
    assert "-gpu and --engine cpu exclude each other" in capsys.readouterr().err
    assert main(["time", "-model", "net.prototxt", "-gpu", "0", "--precision", "bf16"]) == 5
    assert "expected precision float32, got 'bf16'" in capsys.readouterr().err
