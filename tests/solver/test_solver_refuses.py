"""What the solver refuses, and what it stops for."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from caffelite.errors import (
    MissingFileError,
    NetError,
    NotFiniteError,
    PrototxtError,
    SnapshotError,
)
from caffelite.logs.log import Log
from caffelite.prototxt.source import parse_solver
from caffelite.solver.solver import Solver

from .conftest import NET, PARABOLA, parabola, weight


def test_all_problems_of_a_solver_file_at_once():
    text = """net: "a" train_net: "b"
base_lr: 0.1
lr_policy: "stepp"
type: "RMSprop"
momentum: 0.9
regularization_type: "L3"
iter_size: 0
clip_gradients: 0
test_iter: -1
snapshot: -1
"""
    with pytest.raises(PrototxtError) as caught:
        Solver(parse_solver(text, "solver.prototxt"), log=Log())
    found = str(caught.value)
    for line in (
        "solver.prototxt:1:10: expected exactly one of net, net_param, train_net, train_net_param to train, got net and train_net",
        "solver.prototxt:3:1: expected one of fixed, step, exp, inv, multistep, poly, sigmoid, plateau, multifixed, cosine, got 'stepp'; "
        "did you mean 'step'?",
        "solver.prototxt:4:1: expected one of SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam, got 'RMSprop'; did you mean 'RMSProp'?",
        "solver.prototxt:6:1: expected L1 or L2, got 'L3'",
        "solver.prototxt:7:1: expected iter_size >= 1, got 0",
        "solver.prototxt:8:1: expected clip_gradients > 0, got 0\n  Fix: leave it out for no limit",
        "solver.prototxt:9:1: expected test_iter >= 0, got [-1]",
        "solver.prototxt:10:1: expected snapshot >= 0, got -1",
    ):
        assert line in found
    assert "expected test_interval > 0, since there is a test_iter, got 0" in found


@pytest.mark.parametrize(
    "fields, message",
    [
        ('type: "AdaGrad" momentum: 0.5', 'expected momentum 0 with type "AdaGrad", got 0.5'),
        ('type: "RMSProp" rms_decay: 1', "expected rms_decay from 0 to below 1, got 1"),
        ('type: "Adam" momentum: 1', 'expected momentum from 0 to below 1 with type "Adam", got 1'),
        ("test_net: 'a' test_net: 'b' test_iter: 1", "expected one test_iter for each of 2 test nets, got 1"),
        (
            "test_iter: 1 test_interval: 1 test_state {} test_state {}",
            "no test_state or one for each of 1 test nets, got 2",
        ),
        ('eval_type: "detection"', "expected eval_type \"classification\", got 'detection'"),
        ("average_loss: 0", "expected average_loss >= 1, got 0"),
    ],
)
def test_problems(make, fields, message):
    with pytest.raises(PrototxtError, match=re.escape(message)):
        make("base_lr: 1 " + fields)


def test_no_net_at_all():
    with pytest.raises(PrototxtError, match="to train, got none of them"):
        Solver(parse_solver('lr_policy: "fixed"'), log=Log())


def test_test_iter_without_a_test_net():
    text = f'train_net_param {{ {PARABOLA} }} lr_policy: "fixed" test_iter: 1'
    with pytest.raises(
        PrototxtError, match="for each of 0 test nets, got 1\n  Fix: name the test net in test_net"
    ):
        Solver(parse_solver(text), log=Log())


def test_a_missing_net_names_the_place_it_was_looked_for(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "net.prototxt").write_text(PARABOLA)
    source = parse_solver('net: "net.prototxt" lr_policy: "fixed"', str(tmp_path / "sub" / "solver.prototxt"))
    with pytest.raises(
        MissingFileError, match="count from the working directory.*there is a '.*sub/net.prototxt'"
    ):
        Solver(source, log=Log(), root=tmp_path)


def test_a_loss_that_is_not_finite_stops_before_the_update(make):
    solver = parabola(make, "")
    solver.step()
    solver.net.blob("one")[...] = np.nan
    with pytest.raises(NotFiniteError) as caught:
        solver.step()
    assert str(caught.value).startswith(
        "iteration 1: loss is nan; first non-finite blob in forward order: blob 'one' (layer 'x', Input), 1 of 1 values"
    )
    assert weight(solver) == -4 and solver.iter == 1


def test_a_gradient_that_is_not_finite_stops_a_clipped_run(make):
    solver = parabola(make, "clip_gradients: 1")

    def spoil():
        solver.net.params["ip"][0].grad[...] = np.inf

    solver.on_gradients_ready.append(spoil)
    with pytest.raises(NotFiniteError, match="iteration 0: the L2 norm of the gradients is inf"):
        solver.step()
    assert weight(solver) == 0


@pytest.mark.parametrize("display, end", [("", 5), ("display: 2", 2)])
def test_weights_that_are_not_finite_are_found_and_not_saved(make, tmp_path, display, end):
    solver = parabola(make, f"max_iter: 5 test_initialization: false {display}")
    solver.step()
    kept = Path(solver.snapshot()).read_bytes()
    solver._forward = lambda: 0.0  # as a layer would that hides the NaN

    def spoil():
        solver.net.params["ip"][0].data[...] = np.nan

    solver.on_gradients_ready.append(spoil)
    with pytest.raises(
        NotFiniteError, match=rf"iteration {end}: param 0 \('W', 1 1 \(1\)\) of layer 'ip': 1 of"
    ):
        solver.solve()
    assert [file.name for file in tmp_path.glob("*.solverstate")] == ["snap_iter_1.solverstate"]
    with pytest.raises(NotFiniteError, match=f"iteration {end}: param 0"):
        solver.snapshot()
    assert (tmp_path / "snap_iter_1.solverstate").read_bytes() == kept


def test_nothing_is_left_to_train(make, records, tmp_path):
    make("max_iter: 4").solve()
    solver = make("max_iter: 3")
    solver.solve(tmp_path / "snap_iter_4.solverstate")
    assert "already at iteration 4 of 3: nothing to train" in records.texts("message")
    assert solver.iter == 4 and solver.saved_state == str(tmp_path / "snap_iter_4.solverstate")


def test_an_unwritable_prefix_is_found_before_training(make, tmp_path):
    with pytest.raises(SnapshotError, match="cannot write to snapshot prefix"):
        make('snapshot: 5 snapshot_prefix: "nowhere/snap"')
    solver = make('max_iter: 1 snapshot_prefix: "nowhere/snap"')  # as in Caffe: only solve() will write
    with pytest.raises(SnapshotError, match="Fix: create the directory"):
        solver.solve()
    assert solver.iter == 0


@pytest.mark.parametrize(
    "change, got",
    [
        (("bias_term: false", "bias_term: true"), r"got 1 1 \(1\), 1 \(1\)"),
        (("shape { dim: 1 dim: 1 } }", "shape { dim: 1 dim: 3 } }"), r"got 1 3 \(3\)"),
    ],
)
def test_test_nets_of_other_shapes_are_refused(make, change, got):
    assert change[0] in PARABOLA
    inline = f"test_net_param {{ {PARABOLA.replace(*change)} }} test_iter: 1 test_interval: 1"
    with pytest.raises(NetError, match=r"layer 'ip' .* expected params of shapes 1 1 \(1\), which .*" + got):
        make("base_lr: 1 " + inline, net=PARABOLA)


def test_remarks(make, records):
    make("base_lr: 0 solver_mode: GPU larc: true")
    messages = {record.text: record.severity for record in records.records if record.kind == "message"}
    assert messages["solver_mode: GPU has no effect: the engine is 'reference'"] == "I"
    assert messages["base_lr is 0 or not given: no parameter will learn"] == "W"
    assert messages["larc is a field of a fork of Caffe and has no effect here"] == "W"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ('lr_policy: "step" stepsize: 2', ['"step" is 0 after its first step']),
        ('lr_policy: "step" stepsize: 2 gamma: 0.5', []),
        ('lr_policy: "exp"', ['"exp" is 0 after the first iteration']),
        ('lr_policy: "multistep" stepvalue: 3', ['"multistep" is 0 after its first step']),
        ('lr_policy: "multistep" gamma: 0.1', ['"multistep" stays at base_lr']),
        ('lr_policy: "inv" gamma: 0.1', ['"inv" stays at base_lr']),
        ('lr_policy: "inv"', ['"inv" stays at base_lr'] * 2),
        ('lr_policy: "poly" max_iter: 3', ['"poly" stays at base_lr']),
        ('lr_policy: "fixed"', []),
    ],
)
def test_numbers_that_a_policy_lacks_are_told(make, records, fields, told):
    make(fields)
    warnings = [record.text for record in records.records if record.severity == "W"]
    assert [text.split("lr_policy ")[1] for text in warnings] == told


LAST = 'layer { name: "loss"'


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (NET, False),
        (NET[: NET.index(LAST)], True),
        (NET.replace(LAST, f"{LAST} include {{ phase: TEST }}"), True),
        (NET.replace(LAST, f"{LAST} loss_weight: 0"), True),
        ("force_backward: true " + NET[: NET.index(LAST)], False),
    ],
)
def test_a_net_without_a_loss_is_told(make, records, net, told):
    make("max_iter: 1", net=net).solve()
    warnings = [record.text for record in records.records if record.severity == "W"]
    start = "net 'noisy' has no loss in phase TRAIN: no gradients, so no parameter will learn\n  Fix: add a loss layer"
    assert [text.startswith(start) for text in warnings] == [True] * told
