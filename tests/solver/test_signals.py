"""What signals ask of a solver."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from caffelite.errors import UsageError
from caffelite.solver.signals import handle_signals


class Asked:
    def __init__(self):
        self.requests = []

    def request_stop(self):
        self.requests.append("stop")

    def request_snapshot(self):
        self.requests.append("snapshot")


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("effect, requests", [("stop", ["stop"]), ("snapshot", ["snapshot"]), ("none", [])])
def test_effects_of_sigint(effect, requests):
    solver = Asked()
    with handle_signals(solver, sigint=effect):
        send(signal.SIGINT)
    assert solver.requests == requests


def test_default_effects():
    solver = Asked()
    with handle_signals(solver):
        send(signal.SIGHUP)
        send(signal.SIGINT)
        send(signal.SIGTERM)
    assert solver.requests == ["snapshot", "stop", "snapshot", "stop"]


def test_a_second_sigint_does_not_wait():
    solver = Asked()
    with pytest.raises(KeyboardInterrupt), handle_signals(solver):
        send(signal.SIGINT)
        send(signal.SIGINT)
    assert solver.requests == ["stop"]


def test_snapshots_can_be_asked_for_again_and_again():
    solver = Asked()
    with handle_signals(solver, sigint="snapshot"):
        send(signal.SIGINT)
        send(signal.SIGINT)
    assert solver.requests == ["snapshot", "snapshot"]


def test_handlers_from_before_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)]
    with handle_signals(Asked()):
        assert signal.getsignal(signal.SIGTERM) != before[2]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)] == before


def test_an_unknown_effect():
    with (
        pytest.raises(UsageError, match="expected one of stop, snapshot, none, got 'halt'"),
        handle_signals(Asked(), "halt"),
    ):
        pass


def test_other_threads_are_left_in_peace():
    seen = []

    def work():
        with handle_signals(Asked()):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
