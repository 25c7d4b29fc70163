"""What policies remember: the steps of multistep and plateau, and how they go on from a snapshot."""

from __future__ import annotations

import json

import pytest

from caffelite.logs.log import Log
from caffelite.prototxt.source import parse_solver
from caffelite.solver.lines import Lines
from caffelite.solver.schedule import Schedule
from caffelite.weights import load_state

PLATEAU = 'lr_policy: "plateau" gamma: 0.5 plateau_winsize: 3 plateau_winsize: 2 '


def schedule(fields, records):
    return Schedule(parse_solver(f"base_lr: 1 {fields}").message, Lines(Log(records)))


def test_multistep_takes_one_step_an_iteration(records):
    rates = schedule('lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 3 stepvalue: 3', records)
    seen = []
    for i in range(6):
        peeked = rates.peek(i)
        seen.append(rates.advance(i, 0.0))
        assert peeked == seen[-1]
    assert seen == [1, 1, 0.5, 0.25, 0.125, 0.125]
    assert records.texts() == [f"MultiStep Status: Iteration {i}, step = {i - 1}" for i in (2, 3, 4)]


def test_plateau_by_hand(records):
    """Steps come three iterations after the last minimum, then two after the last step, and then no more."""
    rates = schedule(PLATEAU, records)
    losses = [5, 4, 6, 4, 4.5, 7, 8, 3.9, 9, 9, 9, 9]
    assert [rates.advance(i, loss) for i, loss in enumerate(losses)] == [1, 1, 1, 1, 0.5, 0.5] + [0.25] * 6
    steps = [(4, 1), (6, 2)]
    assert records.texts() == [f"Plateau Status: Iteration {i}, step = {step}" for i, step in steps]


def test_plateau_tells_its_minimum_when_it_is_new(records):
    rates = schedule(PLATEAU + "display: 2", records)
    for i, loss in enumerate([5, 4, 6, 6]):
        rates.advance(i, loss)
    minima = [(0, 5), (2, 4)]
    assert records.texts() == [
        f"Plateau Status: Iteration {i}, current minimum_loss = {loss}" for i, loss in minima
    ]


@pytest.mark.parametrize("at", range(1, 9))
def test_plateau_goes_on_from_its_state(records, at):
    losses = [5, 4, 6, 4, 4.5, 7, 8, 3.9, 9, 9]
    whole, first, second = (schedule(PLATEAU, records) for _ in range(3))
    rates = [whole.advance(i, loss) for i, loss in enumerate(losses)]
    for i, loss in enumerate(losses[:at]):
        first.advance(i, loss)
    second.restore(at, first.step, json.loads(json.dumps(first.state())))
    assert [second.advance(i, loss) for i, loss in enumerate(losses) if i >= at] == rates[at:]
    assert second.state() == whole.state()


def test_a_state_without_plateau_waits_anew(records):
    rates = schedule(PLATEAU, records)
    rates.restore(100, 0, {})
    assert [rates.advance(i, 1.0) for i in range(100, 105)] == [1, 1, 1, 0.5, 0.5]
    assert schedule(PLATEAU, records).state() == {"last_event": 0}


def test_nothing_is_counted_during_a_warm_up(records):
    rates = schedule(PLATEAU + "rampup_interval: 10", records)
    assert [rates.advance(i, 1.0) for i in range(14)][10:] == [1, 1, 1, 0.5]


def test_the_policy_in_a_run(make, records, tmp_path):
    """A loss that cannot fall: noise alone moves it, and the windows run out."""
    fields = PLATEAU + "base_lr: 0.05 max_iter: 30 average_loss: 2 snapshot: 7 display: 5"
    solver = make(fields)
    solver.solve()
    assert solver.lr == pytest.approx(0.05 / 4)
    assert len(records.texts("plateau")) > 2
    for iteration in (7, 14, 21):
        resumed = make(fields)
        resumed.solve(tmp_path / f"snap_iter_{iteration}.solverstate")
        for (_, ours), (_, theirs) in zip(resumed.net.learnables, solver.net.learnables, strict=True):
            assert ours.data.tobytes() == theirs.data.tobytes()
        assert resumed._schedule.state() == solver._schedule.state()


def test_caffes_files_hold_the_steps_of_step(make, tmp_path):
    make('lr_policy: "step" gamma: 0.5 stepsize: 2 max_iter: 6').solve()
    assert load_state(tmp_path / "snap_iter_6.solverstate").current_step == 2  # of the last rate, as in Caffe
