"""Keeping the best test and ending early: what is judged, what is logged and saved, and going on."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.errors import NotFiniteError, PrototxtError, SnapshotError
from caffelite.prototxt.source import parse_solver
from caffelite.solver.best import Best, Monitor
from caffelite.solver.lines import Lines, Output
from caffelite.solver.testing import Scores
from caffelite.weights import load_state, load_weights

from .conftest import NET

TESTED = "test_iter: 2 test_interval: 2 "
SCORED = (
    NET
    + """
layer { name: "class" type: "ArgMax" bottom: "target" top: "class" argmax_param { axis: 1 } include { phase: TEST } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "class" top: "accuracy" include { phase: TEST } }
layer { name: "other" type: "Reduction" bottom: "ip2" top: "other" include { phase: TEST } }
"""
)


def scores(value):
    return [Scores(0.0, [Output(0, "loss", 1.0, 1.0), Output(1, "accuracy", value, 0.0)])]


@pytest.fixture
def best(records):
    def make_best(fields, higher=True):
        from caffelite.logs.log import Log

        return Best(parse_solver(fields).message, Monitor(0, "accuracy", higher), Lines(Log(records)))

    return make_best


# -- judging ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "higher, min_delta, values, expected",
    [
        (True, 0, [0.1, 0.3, 0.3, 0.2, 0.4], [True, True, False, False, True]),
        (False, 0, [5, 3, 3, 4, 2], [True, True, False, False, True]),
        (True, 0.25, [0, 0.25, 0.5, 0.625], [True, False, True, False]),
        (False, 0.25, [1, 0.75, 0.5], [True, False, True]),
        (True, 0, [np.nan, 0.1, np.nan], [False, True, False]),
    ],
)
def test_what_is_better(best, higher, min_delta, values, expected):
    tracker = best(f"keep_best: true min_delta: {min_delta}", higher)
    assert [tracker.judge(i, scores(value)) for i, value in enumerate(values)] == expected


def test_patience(best, records):
    tracker = best("patience: 2")
    gone = []
    for i, value in enumerate([0.5, 0.4, 0.6, 0.6, 0.1]):
        tracker.judge(100 * i, scores(value))
        gone.append(tracker.gives_up(100 * i))
    assert gone == [False, False, False, False, True]
    assert records.texts() == [
        "Best test: Iteration 0, accuracy = 0.5 (none before)",
        "Best test: Iteration 200, accuracy = 0.6 (best before: 0.5 at iteration 0)",
        "Early stopping: Iteration 400, 2 tests without a better one (best before: 0.6 at iteration 200)",
    ]


def test_a_repeated_test_counts_once(best):
    tracker = best("patience: 3")
    for iteration in (0, 5, 5, 5):
        tracker.judge(iteration, scores(0.5))
    assert tracker.misses == 1 and not tracker.exhausted


def test_the_score_of_another_output_is_forgotten(best):
    tracker = best("patience: 3")
    tracker.restore({"output": "loss", "score": 9.0, "iteration": 1, "judged": 1, "misses": 2})
    assert tracker.score is None and tracker.misses == 0


# -- what is looked at --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "net, fields, monitor",
    [
        (NET, "", Monitor(0, "loss", False)),
        (SCORED, "", Monitor(0, "accuracy", True)),
        (SCORED, 'monitor: "loss"', Monitor(0, "loss", False)),
        (SCORED, 'monitor: "other" monitor_mode: "min"', Monitor(0, "other", False)),
        (SCORED, 'monitor: "accuracy" monitor_mode: "min"', Monitor(0, "accuracy", False)),
    ],
)
def test_the_output_that_decides(make, net, fields, monitor):
    assert make(f"{TESTED} patience: 2 {fields}", net=net)._best.monitor == monitor


def test_the_first_test_net_that_has_the_output(make, tmp_path):
    (tmp_path / "scored.prototxt").write_text(SCORED)
    fields = f'{TESTED} test_iter: 1 test_net: "scored.prototxt" keep_best: true monitor: '
    assert make(fields + '"loss"')._best.monitor.net == 0
    (tmp_path / "scored.prototxt").write_text(NET)
    assert make(fields + '"accuracy"', net=SCORED)._best.monitor == Monitor(1, "accuracy", True)


@pytest.mark.parametrize(
    "fields, message",
    [
        ('monitor: "acuracy"', "1:.*output .accuracy, loss, other., got 'acuracy'; did you mean 'accuracy'"),
        ('monitor: "other"', "monitor_mode max or min, since 'other' is neither an accuracy nor a loss"),
        ('monitor_mode: "maximum"', "expected monitor_mode max or min, got 'maximum'"),
        ("min_delta: -1", "expected min_delta >= 0, got -1"),
        ("patience: -1", "expected patience >= 0, got -1"),
    ],
)
def test_what_cannot_be_looked_at(make, fields, message):
    with pytest.raises(PrototxtError, match=message):
        make(f"{TESTED} keep_best: true {fields}", net=SCORED)


@pytest.mark.parametrize("field", ["keep_best: true", "patience: 3"])
def test_tests_are_needed(make, field):
    with pytest.raises(PrototxtError, match="expected a test_iter, since there is .*, got none"):
        make(field)


def test_a_net_without_scores(make):
    net = NET.replace('top: "loss" }', 'top: "loss" loss_weight: 0 }')
    with pytest.raises(PrototxtError, match="in monitor, since no output is an accuracy or a loss"):
        make(f"{TESTED} patience: 1", net=net)


# -- runs ---------------------------------------------------------------------------------------------------


def play(solver, values):
    """Lets the tests of a solver give these scores, one after another."""
    given = iter(values)
    judge = solver._best.judge

    def judge_given(iteration, _):
        return judge(iteration, [Scores(0.0, [Output(0, "loss", next(given), 1.0)])])

    solver._best.judge = judge_given
    return solver


@pytest.mark.parametrize("format_, end", [("BINARYPROTO", ""), ("HDF5", ".h5")])
def test_the_best_weights_are_kept(make, records, tmp_path, format_, end):
    solver = play(make(f"{TESTED} keep_best: true max_iter: 8 snapshot_format: {format_}"), [5, 3, 4, 2, 2])
    seen = {}
    solver.on_start.append(lambda: seen.setdefault(solver.iter, solver.net.params["ip1"][0].data.copy()))
    solver.solve()
    kept = next(
        layer for layer in load_weights(tmp_path / f"snap_best.caffemodel{end}") if layer.name == "ip1"
    )
    assert np.array_equal(kept.blobs[0], seen[6])
    assert [line.split(" (")[0] for line in records.texts("best")] == [
        f"Best test: Iteration {i}, loss = {loss}" for i, loss in ((0, 5), (2, 3), (6, 2))
    ]
    assert sum("snap_best" in line for line in records.texts("snapshot")) == 3


def test_nothing_is_kept_unless_asked_for(make, tmp_path):
    make(f"{TESTED} patience: 3 max_iter: 2").solve()
    assert not list(tmp_path.glob("*best*"))


def test_a_place_that_cannot_be_written_is_found_before_training(make):
    with pytest.raises(SnapshotError, match="cannot write to snapshot prefix"):
        make(f'{TESTED} keep_best: true snapshot_prefix: "nowhere/snap"')


def test_weights_that_are_not_finite_are_not_kept(make, tmp_path):
    solver = play(make(f"{TESTED} keep_best: true max_iter: 4"), [5, 3, 2])
    solver.net.params["ip1"][0].data[...] = np.nan
    with pytest.raises(NotFiniteError, match="param 0"):
        solver.step()
    assert not list(tmp_path.glob("*best*"))


def test_a_run_out_of_patience_ends_with_a_snapshot(make, records, tmp_path):
    solver = play(make(f"{TESTED} patience: 2 max_iter: 100"), [5, 4, 6, 7])
    solver.solve()
    assert (solver.iter, solver.stopped, solver.out_of_patience) == (6, True, True)
    assert records.texts("early_stop", "done") == [
        "Early stopping: Iteration 6, 2 tests without a better one (best before: 4 at iteration 2)",
        "Optimization stopped early.",
    ]
    assert (tmp_path / "snap_iter_6.solverstate").exists()


def test_a_run_that_ends_anyway_is_done(make, records):
    solver = play(make(f"{TESTED} patience: 2 max_iter: 6"), [5, 4, 6, 7])
    solver.solve()
    assert not solver.stopped and records.texts("done") == ["Optimization Done."]


FIELDS = TESTED + "keep_best: true max_iter: 12 snapshot: 3 "


def state_of(solver, tmp_path):
    params = [param.data.tobytes() for _, param in solver.net.learnables]
    return params, solver._best.state(), (tmp_path / "snap_best.caffemodel").read_bytes()


@pytest.mark.parametrize("format_, end", [("BINARYPROTO", ""), ("HDF5", ".h5")])
@pytest.mark.parametrize("iteration", [3, 6])
def test_resuming_equals_never_stopping(make, tmp_path, iteration, format_, end):
    fields = FIELDS + f"patience: 50 snapshot_format: {format_}"
    whole = make(fields)
    whole.solve()
    best = tmp_path / f"snap_best.caffemodel{end}"
    kept = load_weights(best)
    best.unlink()
    resumed = make(fields)
    resumed.restore(tmp_path / f"snap_iter_{iteration}.solverstate{end}")
    before = resumed._best.iteration
    resumed.solve()
    assert resumed._best.state() == whole._best.state()
    if whole._best.iteration > before:
        again = load_weights(best)
        assert [b.tobytes() for layer in again for b in layer.blobs] == [
            b.tobytes() for layer in kept for b in layer.blobs
        ]


def test_more_patience_goes_on_as_if_never_stopped(make, tmp_path):
    """The test that ended the run is run again, on the same batches, and counts as it did."""
    net = NET.replace("lr_mult: 1", "lr_mult: 0")
    whole = make(TESTED + "base_lr: 10 patience: 90 max_iter: 14 clip_gradients: 1", net=net)
    whole.solve()
    impatient = make(TESTED + "base_lr: 10 patience: 1 max_iter: 14 clip_gradients: 1", net=net)
    impatient.solve()
    assert impatient.out_of_patience and impatient.iter < 14
    state = load_state(tmp_path / f"snap_iter_{impatient.iter}.solverstate")
    assert state.extra["best"]["misses"] == 0
    again = make(TESTED + "base_lr: 10 patience: 1 max_iter: 14 clip_gradients: 1", net=net)
    again.solve(tmp_path / f"snap_iter_{impatient.iter}.solverstate")
    assert (again.iter, again._best.state()) == (impatient.iter, impatient._best.state())
    patient = make(TESTED + "base_lr: 10 patience: 90 max_iter: 14 clip_gradients: 1", net=net)
    patient.solve(tmp_path / f"snap_iter_{impatient.iter}.solverstate")
    assert patient._best.state() == whole._best.state()
    for (_, ours), (_, theirs) in zip(patient.net.learnables, whole.net.learnables, strict=True):
        assert ours.data.tobytes() == theirs.data.tobytes()
    assert [net.state_dict() for net in patient.test_nets] == [net.state_dict() for net in whole.test_nets]
