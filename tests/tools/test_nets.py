"""Nets as pictures and as lines; python/train.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffelite.prototxt.source import parse_net
from caffelite.tools.summarize import summarize

from .conftest import Run

NET = """
name: "tiny"
layer { name: "data" type: "DummyData" top: "data" top: "label"
        dummy_data_param { shape { dim: 2 dim: 1 dim: 6 dim: 6 } shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { name: "w" lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        convolution_param { num_output: 4 kernel_size: 5 stride: 2 pad: 1 group: 1 } }
layer { name: "wide" type: "Convolution" bottom: "conv" top: "wide"
        convolution_param { num_output: 4 kernel_h: 1 kernel_w: 3 pad_w: 1 group: 2 } }
layer { name: "pool" type: "Pooling" bottom: "wide" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" loss_weight: 0.5 }
"""
SOLVER = """
net: "net.prototxt" test_iter: 1 test_interval: 100 base_lr: 0.01 lr_policy: "fixed" display: 2 max_iter: 4
snapshot_prefix: "tiny" snapshot: 2 random_seed: 1 type: "Adam"
"""


@pytest.fixture(autouse=True)
def files(clean: None) -> None:
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SOLVER)


# -- draw_net ----------------------------------------------------------------------------------------------------


def test_draw_net_with_an_old_command_line(run: Run) -> None:
    result = run("draw_net.py net.prototxt net.dot --rankdir TB --phase TEST --display_lrm")
    assert (result.code, result.out) == (0, "Drawing net to net.dot\n")
    text = Path("net.dot").read_text()
    assert "rankdir=TB" in text and "accuracy" in text


def test_layers_of_a_phase_alone(run: Run) -> None:
    assert run("draw net.prototxt net.dot --phase=TRAIN").code == 0
    text = Path("net.dot").read_text()
    assert "rankdir=LR" in text and "accuracy" not in text and "loss" in text


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("net.prototxt net.dot --rankdir UP", 2, "--rankdir: expected one of LR, TB, BT, RL, got 'UP'"),
        ("net.prototxt net.dot --phase test", 2, "--phase: expected one of ALL, TRAIN, TEST"),
        ("net.prototxt net", 2, "expected an extension"),
        ("absent.prototxt net.dot", 3, "net 'absent.prototxt' does not exist"),
    ],
)
def test_what_cannot_be_drawn(run: Run, line: str, code: int, message: str) -> None:
    result = run(f"draw {line}")
    assert result.code == code and message in result.err


# -- summarize ---------------------------------------------------------------------------------------------------


def test_summarize(run: Run) -> None:
    result = run("summarize.py net.prototxt")
    assert result.code == 0
    assert [" ".join(line.split()) for line in result.out.splitlines()] == [
        "data DummyData -> data, label",
        "conv Convolution (w x1, x2 d0) data -> conv 5/2+1 4",
        "wide Convolution conv -> wide 1x3+0x1 4/2",
        "pool Pooling wide -> pool 2/2",
        "ip InnerProduct pool -> ip 3",
        "accuracy Accuracy ip, label -> [accuracy]",
        "loss SoftmaxWithLoss ip, label -> 0.5 * [loss]",
    ]


@pytest.mark.parametrize("flag", ["-w", "--max-width", "--max-width="])
def test_columns_are_cut(run: Run, flag: str) -> None:
    out = run(f"summarize net.prototxt {flag}{'' if flag.endswith('=') else ' '}10").out
    assert "SoftmaxWithLoss" not in out and "Softmax..." in out


@pytest.mark.parametrize("width", ["3", "-1"])
def test_columns_without_room(run: Run, width: str) -> None:
    result = run(f"summarize net.prototxt --max-width={width}")
    assert result.code == 2 and f"max-width: expected 0 or at least 4, got {width}" in result.err


def test_other_layers() -> None:
    net = parse_net(
        'layer { name: "p" type: "Python" top: "a" python_param { module: "m" layer: "L" } }\n'
        'layer { name: "g" type: "Pooling" bottom: "a" top: "b" pooling_param { global_pooling: true } }\n'
        'layer { name: "r" type: "ReLU" bottom: "b" top: "b" }\n'
        'layer { name: "d" type: "Deconvolution" bottom: "b" top: "c" convolution_param { num_output: 1 kernel_size: 2 kernel_size: 3 } }'
    )
    assert [" ".join(line.split()) for line in summarize(net, 0)] == [
        "p m.L -> a", "g Pooling a -> b global", "r ReLU b -> b",
        "d Deconvolution b -> [c] 2x3 1",
    ]  # fmt: skip


def test_a_net_of_2014(run: Run) -> None:
    Path("old.prototxt").write_text('layers { name: "s" type: SIGMOID bottom: "x" top: "y" }')
    assert run("summarize old.prototxt").out == "s Sigmoid  x -> [y]\n"


# -- train.py ----------------------------------------------------------------------------------------------------


def test_train_py(run: Run) -> None:
    result = run("train.py --solver solver.prototxt --timing")
    assert result.code == 0 and result.lines[-1] == "Optimization Done."
    for line in ("forw   1     conv : ", "back   1     conv : ", "solver total: "):
        assert result.err.count(f"\n{line}") == 2  # at iterations 0 and 2
    assert Path("tiny_iter_4.caffemodel").exists()
    assert run("train.py --solver solver.prototxt --snapshot tiny_iter_2.solverstate").code == 0


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("", 2, "Need a solver definition to train."),
        ("--solver solver.prototxt --gpus 0 1", 5, "-gpu 0 1: a net computes on one GPU, not on 2 together"),
        ("solver.prototxt", 2, "expected flags only, got 'solver.prototxt'"),
        ("--solver solver.prototxt --snapshot absent", 3, "solver state 'absent' does not exist"),
    ],
)
def test_train_py_refuses(run: Run, line: str, code: int, message: str) -> None:
    result = run(f"train.py {line}")
    assert result.code == code and message in result.err
