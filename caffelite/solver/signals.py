"""Signals during training, as ``caffe train`` takes them, and SIGTERM besides.

=========  ==========================================================================
SIGINT     stop (or snapshot, none); a second one while stopping raises KeyboardInterrupt
SIGHUP     snapshot (or stop, none)
SIGTERM    snapshot and stop
=========  ==========================================================================

Requests are honoured between iterations and between the batches of a test.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from caffelite.errors import UsageError

EFFECTS = ("stop", "snapshot", "none")

Handler = Callable[[int, FrameType | None], None]


class Stoppable(Protocol):
    """What signals act on: a Solver."""

    def request_stop(self) -> None: ...
    def request_snapshot(self) -> None: ...


@contextmanager
def handle_signals(solver: Stoppable, sigint: str = "stop", sighup: str = "snapshot") -> Iterator[None]:
    """Lets signals act on a solver while the block runs; the handlers from before come back.

    Only the main thread can do this; in another one nothing changes. Raises UsageError for an unknown effect.
    """
    handlers = {signal.SIGINT: _handler(solver, sigint), signal.SIGTERM: _terminate(solver)}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = _handler(solver, sighup)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _handler(solver: Stoppable, effect: str) -> Handler:
    if effect not in EFFECTS:
        raise UsageError(f"effect of a signal: expected one of {', '.join(EFFECTS)}, got '{effect}'")
    stopping: set[int] = set()

    def handle(number: int, frame: FrameType | None) -> None:
        if effect == "snapshot":
            solver.request_snapshot()
        elif effect == "stop":
            if number == signal.SIGINT and number in stopping:
                raise KeyboardInterrupt
            stopping.add(number)
            solver.request_stop()

    return handle


def _terminate(solver: Stoppable) -> Handler:
    def handle(number: int, frame: FrameType | None) -> None:
        solver.request_snapshot()
        solver.request_stop()

    return handle
