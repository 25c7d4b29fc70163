"""The loop: order of events, log lines, tests, averages, requests."""

from __future__ import annotations

import re

import numpy as np
import pytest

from caffelite.errors import (
    UsageError,
)
from caffelite.logs.log import Log
from caffelite.prototxt.source import parse_solver, read_solver
from caffelite.solver.solver import Solver

from .conftest import NET, PARABOLA, parabola, weight

TESTED = "test_iter: 2 test_interval: 2 test_compute_loss: true "


# -- updates ------------------------------------------------------------------------------------------------


def test_one_update_by_hand(make):
    solver = parabola(make, "")
    solver.step()
    assert weight(solver) == -4  # 0 - 0.5 * (0 + 8)
    assert solver.iter == 1 and float(solver.net.params["ip"][0].grad[0, 0]) == 4


def test_iter_size_averages_and_clipping_sees_the_sum(make, records):
    solver = parabola(make, "iter_size: 2 clip_gradients: 4")
    solver.step()  # the gradients add up to 16, are clipped to 4 and divided by 2
    assert weight(solver) == -1
    assert records.texts("clip") == [
        "Gradient clipping: scaling down gradients (L2 norm 16 > 4) by scale factor 0.25"
    ]


def test_clipping_does_not_see_weight_decay(make, records):
    solver = parabola(make, "clip_gradients: 9 weight_decay: 100")
    solver.net.params["ip"][0].load(np.ones((1, 1)))
    solver.step()
    assert weight(solver) == 1 - 0.5 * (9 + 100) and not records.texts("clip")


def test_callbacks_stand_where_caffe_has_them(make):
    solver = parabola(make, "")
    seen = []
    solver.add_callback(
        lambda: seen.append(("start", solver.net.params["ip"][0].grad_is_zero)),
        lambda: seen.append(("ready", float(solver.net.params["ip"][0].grad[0, 0]))),
    )
    solver.step()
    assert seen == [("start", True), ("ready", 8.0)]


def test_callbacks_must_be_callable(make):
    with pytest.raises(UsageError, match="expected two callables, got 3"):
        make().add_callback(3, print)


def test_apply_update_can_be_called_alone(make):
    solver = parabola(make, "")
    solver.net.clear_grads()
    solver.net.forward()
    solver.net.backward()
    solver.apply_update()
    assert weight(solver) == -4 and solver.iter == 1


def test_lr_is_that_of_the_next_update_and_looking_changes_nothing(make):
    solver = parabola(make, 'lr_policy: "multistep" gamma: 0.1 stepvalue: 1 stepvalue: 1')
    assert solver.lr == 0.5
    solver.step()
    assert [solver.lr, solver.lr] == pytest.approx([0.05, 0.05])


# -- the log ------------------------------------------------------------------------------------------------


def test_lines_of_a_run(make, records):
    solver = make(TESTED + "display: 2 max_iter: 4 average_loss: 3 snapshot: 3")
    solver.solve()
    number = r"-?\d[\d.e+-]*"
    loss = rf"loss = {number} \(\* 1 = {number} loss\)"
    test = rf"Testing net \(#0\)|Test loss: {number}|    Test net output #0: {loss}"
    block = [
        r"Iteration {i}, Testing net \(#0\)", rf"Test loss: {number}", f"    Test net output #0: {loss}",
        rf"Iteration {{i}} \({number} iter/s, {number}s/2 iters\), loss = {number}",
        f"    Train net output #0: {loss}", "Iteration {i}, lr = 0.05",
    ]  # fmt: skip
    snapshot = ["Snapshotting to binary proto file .*snap_iter_{i}.caffemodel",
                "Snapshotting solver state to binary proto file .*snap_iter_{i}.solverstate"]  # fmt: skip
    expected = ["Solving noisy", "Learning Rate Policy: fixed"]
    expected += [line.replace("{i}", "0") for line in block]
    expected += [line.replace("{i}", "2") for line in block]
    expected += [line.replace("{i}", "3") for line in snapshot]
    expected += [line.replace("{i}", "4") for line in snapshot]
    expected += [
        rf"Iteration 4, loss = {number}",
        *(line.replace("{i}", "4") for line in block[:3]),
        "Optimization Done.",
    ]
    texts = records.texts(
        "solving", "iteration", "train_output", "lr", "test", "test_loss", "test_output", "snapshot", "done"
    )
    assert len(texts) == len(expected)
    for text, pattern in zip(texts, expected, strict=True):
        assert re.fullmatch(pattern, text), (text, pattern)
    assert re.search(test, texts[2])


def test_lines_come_from_caffes_places(make, records):
    make(TESTED + "display: 1 max_iter: 2").solve()
    places = {record.kind: record.where for record in records.records}
    assert places["iteration"] == "solver.cpp:327" and places["lr"] == "sgd_solver.cpp:112"
    assert places["train_output"] == "solver.cpp:258" and places["test_output"] == "solver.cpp:414"


def test_fields_for_programs(make, records):
    make(TESTED + "display: 1 max_iter: 1").solve()
    fields = {record.kind: record.fields for record in records.records}
    assert fields["lr"] == {"iteration": 0, "lr": pytest.approx(0.05)}
    assert fields["test_output"].keys() == {"iteration", "net", "index", "name", "value", "weight"}
    assert fields["train_output"]["name"] == "loss" and fields["train_output"]["weight"] == 1
    assert fields["progress"]["iteration"] == 1 and fields["progress"]["max_iter"] == 1


def test_the_same_lines_as_caffe_printed(shared, tmp_path, monkeypatch, records):
    """The golden log's run, numbers aside: the same lines from the same places in the same order."""
    logs = shared / "golden" / "logs"
    monkeypatch.chdir(tmp_path)
    for name in ("net.prototxt", "solver.prototxt"):
        (tmp_path / name).write_text((logs / name).read_text())
    (tmp_path / "raw_lmdb").symlink_to(shared / "golden" / "data" / "raw_lmdb")
    solver = Solver(read_solver("solver.prototxt"), engine="reference", log=Log(records))
    solver.solve()
    solver.close()
    theirs = re.findall(
        r"^I\S+ \S+ +\d+ ((?:sgd_)?solver\.cpp:\d+\] .*)", (logs / "train.log").read_text(), re.M
    )
    ours = [f"{record.where}] {line}" for record in records.records for line in record.text.splitlines()[:1]]
    kept = [[masked(line) for line in lines if is_compared(line)] for lines in (ours, theirs)]
    assert kept[0] == kept[1] and len(kept[0]) > 40


def is_compared(line):
    """How often gradients are clipped depends on the first weights; our own remarks are not in Caffe's log."""
    return re.match(r"(sgd_)?solver\.cpp", line) and "Gradient clipping" not in line


def masked(line):
    place, text = line.split("] ", 1)
    return place + " " + re.sub(r"(?<![\w#])-?\d[\d.e+-]*", "N", text).strip()


def test_nets_are_announced(make, records):
    make(TESTED)
    net = "\n".join(records.texts("net"))
    assert "Creating training net from net file: net.prototxt" in net
    assert "Creating test net (#0) specified by net file: net.prototxt" in net
    assert 'name: "noisy"\nstate {\n  phase: TRAIN\n}' in net and "state {\n  phase: TEST\n}" in net
    assert records.texts("solver")[0].startswith("Initializing solver from parameters: \ntest_iter: 2\n")


def test_average_loss(make):
    solver = parabola(make, "average_loss: 2")
    solver.step()
    assert solver.smoothed_loss == 32
    solver.step()
    assert solver.smoothed_loss == (32 + 8) / 2
    solver.step()
    assert solver.smoothed_loss == (8 + 2) / 2


@pytest.mark.parametrize("name", ["ip1", "ip2"])  # of the layer before it, of the layer after it
@pytest.mark.parametrize("format_", ["BINARYPROTO", "HDF5"])
def test_a_layer_without_parameters_may_have_the_name_of_one_with_some(make, tmp_path, format_, name):
    net = NET.replace('"drop" type: "Dropout"', f'"{name}" type: "ReLU"')
    fields = f"max_iter: 2 snapshot: 1 snapshot_format: {format_} display: 1 debug_info: true"
    solver = make(fields, net=net)
    solver.solve()
    resumed = make(fields, net=net)
    resumed.solve(next(tmp_path.glob("snap_iter_1.solverstate*")))
    for (_, ours), (_, theirs) in zip(resumed.net.learnables, solver.net.learnables, strict=True):
        assert np.array_equal(ours.data, theirs.data)


def test_debug_info_on_display_iterations(make, records):
    solver = parabola(make, "display: 2 debug_info: true", observe=False)
    solver.step(2)
    assert records.texts("debug") == [
        "    [Forward] Layer x, top blob x data: 8",
        "    [Forward] Layer x, top blob one data: 1",
        "    [Forward] Layer ip, top blob y data: 0",
        "    [Forward] Layer ip, param blob 0 data: 0",
        "    [Forward] Layer loss, top blob loss data: 32",
        "    [Backward] Layer loss, bottom blob y diff: 8",
        "    [Backward] Layer ip, param blob 0 diff: 8",
        "    [Backward] All net params (data, diff): L1 norm = (0, 8); L2 norm = (0, 8)",
    ]
    assert not solver.net.hooks


def test_debug_info_of_every_test_batch(make, records):
    solver = make(TESTED + "debug_info: true", observe=False)
    solver.test()
    lines = records.texts("debug")
    assert len([line for line in lines if line.startswith("    [Forward] Layer loss, top blob loss")]) == 2
    assert not any("[Backward]" in line for line in lines)


# -- tests --------------------------------------------------------------------------------------------------


def test_scores_are_means_and_test_nets_share_parameters(make):
    solver = make(TESTED)
    net = solver.test_nets[0]
    assert net.params["ip1"][0].shares_with(solver.net.params["ip1"][0])
    expected = []
    for _ in range(2):
        net.forward()
        expected.append(float(net.blob("loss")))
    net.restore({"passes": 0})
    scores = solver.test()
    assert scores["loss"] == pytest.approx(np.mean(expected)) == pytest.approx(scores.loss)
    with pytest.raises(KeyError):
        scores["accuracy"]


def test_a_backward_pass_of_a_test_net_leaves_the_gradients_of_training_alone(make):
    solver = make(TESTED)
    solver.step(1)
    tested = solver.test_nets[0]
    before = solver.net.params["ip1"][0].grad.copy()
    tested.forward()
    tested.backward()
    assert tested.params["ip1"][0].grad.any()
    assert np.array_equal(solver.net.params["ip1"][0].grad, before)


def test_batch_norm_of_test_nets_uses_the_statistics_of_training(make):
    net = (
        PARABOLA.replace("dim: 1 }", "dim: 3 }").replace(
            'bottom: "y" bottom: "x"', 'bottom: "bn" bottom: "x"'
        )
        + 'layer { name: "bn" type: "BatchNorm" bottom: "y" top: "bn" }'
    )
    lines = net.strip().splitlines()
    net = "\n".join([*lines[:-2], lines[-1], lines[-2]]).replace("num_output: 1", "num_output: 3")
    solver = make("base_lr: 0.1 test_iter: 1 test_interval: 100", net=net)
    solver.net.blob("one")[...] = np.arange(3)
    for mine, theirs in zip(solver.test_nets[0].params["bn"], solver.net.params["bn"], strict=True):
        assert mine.shares_with(theirs)
    solver.step()
    assert solver.test_nets[0].params["bn"][2].data == 1  # the number of batches counted in


@pytest.mark.parametrize("initially, expected", [("true", [0, 2, 4]), ("false", [2, 4])])
def test_intervals(make, records, initially, expected):
    make(TESTED + f"max_iter: 4 snapshot_after_train: false test_initialization: {initially}").solve()
    assert [record.fields["iteration"] for record in records.records if record.kind == "test"] == expected


def test_a_test_of_no_batches_prints_nothing(make, records):
    make(
        "test_iter: 0 test_interval: 1 test_compute_loss: true max_iter: 2 snapshot_after_train: false"
    ).solve()
    assert [r.text for r in records.records if "Test" in (r.text or "") and "Testing net" not in r.text] == []
    assert len(records.texts("test")) == 3


def test_several_test_nets_in_caffes_order_and_states(make, tmp_path, records):
    (tmp_path / "other.prototxt").write_text('name: "other" ' + PARABOLA.split("\n", 2)[2])
    inline = 'test_net_param { name: "inline" state { stage: "own" } layer { name: "a" type: "DummyData" top: "a" }'
    inline = inline.replace('top: "a" }', 'top: "a" dummy_data_param { shape { dim: 1 } } } }')
    solver = make(
        "test_interval: 5 test_iter: 1 test_iter: 2 test_iter: 3 test_iter: 4 "
        'test_net: "other.prototxt" ' + inline + " test_state { stage: 's' } test_state {} "
        "test_state { level: 2 } test_state { phase: TRAIN }"
    )
    assert [net.name for net in solver.test_nets] == ["inline", "other", "noisy", "noisy"]
    states = [(net.state.phase.name, net.state.level, net.state.stages) for net in solver.test_nets]
    assert states == [("TEST", 0, ("own", "s")), ("TEST", 0, ()), ("TEST", 2, ()), ("TRAIN", 0, ())]


def test_nets_inside_the_solver(tmp_path):
    text = f'train_net_param {{ {PARABOLA} }} base_lr: 1 lr_policy: "fixed" snapshot_prefix: "s" train_state {{ level: 3 }}'
    solver = Solver(parse_solver(text), engine="reference", log=Log(), root=tmp_path)
    assert solver.net.name == "parabola" and solver.net.state.level == 3


def test_seed_repeats_a_run(make):
    first, second, other = make(), make(), make(seed=4)
    for solver in (first, second, other):
        solver.step(3)
    weights = [solver.net.params["ip1"][0].data for solver in (first, second, other)]
    assert np.array_equal(weights[0], weights[1]) and not np.array_equal(weights[0], weights[2])


# -- requests -----------------------------------------------------------------------------------------------


def test_a_stop_ends_the_run_after_the_iteration_with_a_snapshot(make, records, tmp_path):
    solver = make("max_iter: 100")
    solver.on_gradients_ready.append(lambda: solver.iter == 2 and solver.request_stop())
    solver.solve()
    assert solver.iter == 3 and solver.stopped
    assert records.texts("done") == ["Optimization stopped early."]
    assert (tmp_path / "snap_iter_3.solverstate").exists()


def test_a_stop_without_snapshot_after_train_leaves_nothing(make, tmp_path):
    solver = make("max_iter: 100 snapshot_after_train: false")
    solver.request_stop()
    solver.solve()
    assert solver.iter == 1 and not list(tmp_path.glob("snap*"))


def test_a_snapshot_on_request_and_on_time_is_one(make, records):
    solver = make("max_iter: 2 snapshot: 1")
    solver.request_snapshot()
    solver.solve()
    assert [record.fields["iteration"] for record in records.records if record.kind == "snapshot"] == [
        1,
        1,
        2,
        2,
    ]


def test_a_stop_during_a_test_interrupts_it(make, records):
    solver = make(TESTED + "max_iter: 4")
    solver.test_nets[0].hooks.before_forward.append(lambda index: solver.iter == 2 and solver.request_stop())
    solver.solve()
    assert solver.iter == 2 and records.texts("message")[-1] == "Test interrupted."
    assert records.texts("done") == ["Optimization stopped early."]
