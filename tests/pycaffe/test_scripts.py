"""Scripts as people wrote them for pycaffe and NumPy 1 run unchanged under ``python -m caffelite.run``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPTS = HERE / "scripts"


def run(folder: Path, *words: str) -> list[str]:
    """The lines that a script prints. It must end well, and warn of nothing but the old form of Net's arguments."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE.parents[1]),
        "GLOG_minloglevel": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "caffelite.run", *words], cwd=folder, capture_output=True, text=True, timeout=300, env=environment
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "Warning" in line and "use of fork()" not in line]
    assert all("is deprecated; write Net(" in line for line in told), done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts, with the data and weights that the first two of them make."""
    folder = tmp_path_factory.mktemp("scripts") / "work"
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    assert run(folder, "make_lmdb.py") == ["entries 120, last key 00000119, label 2"]
    assert run(folder, "mean_convert.py", "mean.binaryproto", "mean.npy") == [
        "(3, 40, 40) float64 [79, 79, 79]"
    ]
    return folder


def test_classification(folder: Path) -> None:
    lines = run(folder, "classify.py")
    assert lines[-1] == "same: True"
    assert "prob\t(50, 7)" in lines and "conv1\t(12, 3, 5, 5) (12,)" in lines
    assert lines[2].startswith(f"output label: n0000000{lines[1][-1]} class")


def test_filter_visualisation(folder: Path) -> None:
    assert run(folder, "filters.py") == [
        "filters (24, 24, 3)", "conv1 (68, 68) 0.000", "pool5 (20, 20)", "fc6 32 32", "flat True",
    ]  # fmt: skip


def test_net_surgery(folder: Path) -> None:
    assert run(folder, "surgery.py")[-3:] == [
        "map (5, 5)",
        "changed True, back True",
        "same (1, 7, 1, 1) True",
    ]


def test_fine_tuning(folder: Path) -> None:
    assert run(folder, "finetune.py")[-3:] == [
        "Accuracy for fine-tuning: 1.00", "Accuracy for training from scratch: 1.0", "loss falls: True",
    ]  # fmt: skip


def test_training_loop(folder: Path) -> None:
    assert run(folder, "lenet_loop.py") == [
        "SGDSolver [('data', (20, 3, 35, 35)), ('label', (20,))]",
        "('conv1', (12, 3, 5, 5))",
        "train labels: [0, 1, 2, 0, 1, 2, 0, 1]",
        "test labels: [0, 1, 2, 0, 1, 2, 0, 1]",
        "gradient (15, 20) True",
        "loss fell True accuracy True",
        "by hand True",
        "41 True",
        "41 True",
        "60 True",
    ]


def test_features(folder: Path) -> None:
    assert run(folder, "features.py", "fc6") == [
        "['fc6', 'prob'] (47, 32) (47, 7)", "same True", "database True", "nearest 0 True",
    ]  # fmt: skip


def test_messages(folder: Path) -> None:
    assert run(folder, "edit_proto.py") == [
        "SmallCaffeNet 15 ['Data', 'Data', 'Convolution']", "(2, 4) fc9", "5", "(12, 3, 5, 5) 4", "True True", "0.50 60 0.50",
    ]  # fmt: skip


def test_net_spec(folder: Path) -> None:
    assert run(folder, "netspec_train.py") == ["AdamSolver", "iterations 40 good"]


def test_layers_in_python(folder: Path) -> None:
    lines = run(folder, "linreg.py")
    assert lines[0] == "layers ['data', 'ipx', 'scale', 'loss'] 16 train"
    assert lines[-1] == "weights [1, -2, 3] True"


def test_solver_wrapper_of_region_nets(folder: Path) -> None:
    lines = run(folder, "frcnn_train.py")
    assert lines[-3:] == ["done solving 40 2", "unnormalized True", "losses True ()"]
    assert run(folder, "frcnn_detect.py") == [
        "(32, 32, 3) (5, 4) (5, 16) True",
        "(48, 40, 3) (9, 4) (9, 16) True",
        "(24, 64, 3) (1, 4) (1, 16) True",
        "(32, 32, 3) (5, 4) (5, 16) True",
        "again True",
        "(1, 8, 16, 16) (8, 3, 3)",
    ]


def test_deep_dream(folder: Path) -> None:
    assert run(folder, "dream.py") == [
        "(70, 90, 3) float32 [True, True, True]",
        "[True, True]",
        "(70, 90, 3) True 8",
    ]


def test_saliency(folder: Path) -> None:
    assert run(folder, "saliency.py") == [
        "saliency (35, 35) False", "keys ['data'] True", "checked True", "cam (4, 4)", "ablated True", "only biases True",
    ]  # fmt: skip


def test_deep_q_learning(folder: Path) -> None:
    assert run(folder, "dqn.py") == [
        "steps 319 True", "learned True", "shared True target apart True", "RuntimeError True", "by hand True",
    ]  # fmt: skip


def test_stages_in_processes_of_their_own(folder: Path) -> None:
    assert run(folder, "alternate.py")[-2:] == ["spawn 0 True", "['data']"]
