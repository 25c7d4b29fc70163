"""Prefetching by worker processes: order, back-pressure, errors, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from caffelite.data import prefetch
from caffelite.data.owner import Owner
from caffelite.data.prefetch import InlineFeed, Prefetcher, choose_workers
from caffelite.errors import DataError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no worker processes on Windows")

HERE = Path(__file__).parent
SHAPES = {"data": (2, 3, 4), "label": (2,)}


@pytest.fixture
def makers(monkeypatch):
    monkeypatch.syspath_prepend(os.fspath(HERE))
    import prefetch_makers

    return prefetch_makers


@pytest.fixture
def start():
    """Starts prefetchers, and ends them after the test."""
    started = []

    def begin(*arguments, **options):
        started.append(Prefetcher(*arguments, **options))
        return started[-1]

    yield begin
    for prefetcher in started:
        prefetcher.close()


def arrays():
    return {name: np.full(shape, np.nan, np.float32) for name, shape in SHAPES.items()}


def take(feed):
    into = arrays()
    feed.next(into)
    values = {float(value) for array in into.values() for value in np.unique(array)}
    assert len(values) == 1
    return values.pop()


def gone(process, seconds=10.0):
    """Whether a process that is not our child ends soon."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(process, 0)
            if "\nState:\tZ" in Path(f"/proc/{process}/status").read_text():
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_come_in_order(makers, start, workers):
    feed = start(makers.Numbers(), SHAPES, 10, 5, depth=4, workers=workers)
    assert len(feed.processes) == workers
    for batch in range(20):
        assert feed.position == 10 + 5 * batch
        assert take(feed) == 10 + 5 * batch


def test_in_line_is_the_same(makers):
    feed = InlineFeed(makers.Numbers(), 10, 5)
    assert [take(feed) for _ in range(4)] == [10, 15, 20, 25]
    assert feed.position == 30


def made(log):
    return log.read_text().split() if log.exists() else []


def wait_for(condition, seconds=10.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


def test_no_more_is_made_than_asked_for(makers, start, tmp_path):
    log = tmp_path / "log"
    feed = start(makers.Numbers(str(log)), SHAPES, 0, 1, depth=3)
    wait_for(lambda: len(made(log)) == 3)
    time.sleep(0.2)
    assert made(log) == ["0", "1", "2"]
    take(feed)
    wait_for(lambda: len(made(log)) == 4)
    time.sleep(0.2)
    assert made(log) == ["0", "1", "2", "3"]


def test_the_position_is_what_was_consumed(makers, start, tmp_path):
    log = tmp_path / "log"
    feed = start(makers.Numbers(str(log)), SHAPES, 0, 4, depth=3)
    take(feed)
    wait_for(lambda: len(made(log)) == 4)
    assert feed.position == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_arrives_in_its_place_and_stays(makers, start, workers):
    feed = start(makers.Numbers(fail_at=15, how="data"), SHAPES, 0, 5, depth=4, workers=workers)
    assert [take(feed) for _ in range(3)] == [0, 5, 10]
    for _ in range(2):
        with pytest.raises(DataError, match="^item '00000015' is broken$"):
            take(feed)
        assert feed.position == 15


def test_a_defect_in_a_maker_arrives_with_its_traceback(makers, start):
    feed = start(makers.Numbers(fail_at=0, how="bug"), SHAPES, 0, 5)
    with pytest.raises(DataError, match=r"(?s)failed at item 0:.*ZeroDivisionError: a bug"):
        take(feed)


def test_a_killed_worker_is_reported_with_what_it_was_at(makers, start):
    feed = start(makers.Numbers(fail_at=5, how="kill"), SHAPES, 0, 5, owner=Owner("pictures"))
    assert take(feed) == 0
    for _ in range(2):
        with pytest.raises(
            DataError, match=r"(?s)layer 'pictures'.*items 5 to 9 .*code -9.*\n  Fix: .*memory"
        ):
            take(feed)


def test_what_a_worker_prints_does_no_harm(makers, start):
    feed = start(makers.Noisy(), SHAPES, 0, 1)
    assert [take(feed) for _ in range(5)] == [0, 1, 2, 3, 4]


def test_a_maker_that_cannot_be_pickled(start):
    class Local:
        def make(self, item, into):
            pass

    with pytest.raises(DataError, match="cannot hand Local to a data worker"):
        start(Local(), SHAPES, 0, 1)


def test_a_maker_that_workers_cannot_import(start, monkeypatch):
    module = type(sys)("only_here")
    exec("class Maker:\n    __module__ = 'only_here'\n", vars(module))
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(DataError, match="cannot load what makes its batches: No module named 'only_here'"):
        take(start(module.Maker(), SHAPES, 0, 1))


def test_closing_ends_the_workers_and_their_makers(makers, start, tmp_path):
    log = tmp_path / "log"
    feed = start(makers.Numbers(str(log)), SHAPES, 0, 1, depth=4, workers=2)
    take(feed)
    processes = feed.processes
    feed.close()
    feed.close()
    assert all(gone(process, 0.1) for process in processes)
    assert made(log).count("closed") == 2
    with pytest.raises(DataError, match="was closed"):
        take(feed)


def test_closing_does_not_wait_for_a_long_batch(makers, start, monkeypatch):
    monkeypatch.setattr(prefetch, "_PATIENCE", 0.1)
    feed = start(makers.Numbers(seconds=60.0), SHAPES, 0, 1)
    began = time.monotonic()
    feed.close()
    assert time.monotonic() - began < 5


def test_closing_leaves_no_file_open(makers, start):
    take(start(makers.Numbers(), SHAPES, 0, 1))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(3):
        feed = start(makers.Numbers(), SHAPES, 0, 1)
        take(feed)
        feed.close()
    assert not before or len(os.listdir("/proc/self/fd")) == before


def test_a_dropped_prefetcher_ends(makers):
    feed = Prefetcher(makers.Numbers(), SHAPES, 0, 1)
    (process,) = feed.processes
    del feed
    assert gone(process)


def test_without_files_in_memory(makers, start, monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    feed = start(makers.Numbers(), SHAPES, 0, 1)
    assert [take(feed) for _ in range(6)] == [0, 1, 2, 3, 4, 5]


def test_an_interrupted_copy_loses_no_batch(makers, start):
    feed = start(makers.Numbers(), SHAPES, 0, 1)

    class Interrupted:
        def __setitem__(self, key, value):
            raise KeyboardInterrupt

    for _ in range(6):
        with pytest.raises(KeyboardInterrupt):
            feed.next({"data": Interrupted()})
    assert [take(feed) for _ in range(6)] == [0, 1, 2, 3, 4, 5]


# -- the process around it ------------------------------------------------------------------------------

SCRIPT = """
import os, sys, time
import numpy as np
from caffelite.data.prefetch import Prefetcher
from prefetch_makers import Numbers

feed = Prefetcher(Numbers(), {"data": (2, 3)}, 0, 2, depth=2)
into = {"data": np.empty((2, 3), np.float32)}
for _ in range(3):
    feed.next(into)
print(into["data"][0, 0], feed.processes[0], flush=True)
"""


def interruptible():
    """A shell starts what it puts in the background deaf to interrupts, which children take over."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def script(tmp_path, tail=""):
    """Runs the script, which has no ``__main__`` guard, up to its line of output."""
    (tmp_path / "train.py").write_text(SCRIPT + tail)
    paths = os.pathsep.join([os.fspath(HERE), os.fspath(HERE.parent.parent)])
    process = subprocess.Popen(
        [sys.executable, "-W", "error", os.fspath(tmp_path / "train.py")],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )
    value, worker = process.stdout.readline().split()
    assert value == "4.0"
    return process, int(worker)


def finish(process):
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def test_a_script_without_main_guard_runs_once_and_ends(tmp_path):
    process, worker = script(tmp_path)
    assert finish(process) == (0, "", "")
    assert gone(worker)


def test_a_script_that_fails_ends(tmp_path):
    process, worker = script(tmp_path, "1 / 0")
    code, _, errors = finish(process)
    assert code == 1 and errors.rstrip().endswith("ZeroDivisionError: division by zero")
    assert gone(worker)


def test_a_fork_that_ends_or_drops_the_feed_leaves_it_to_the_parent(tmp_path):
    tail = """
for drops in (True, False):
    child = os.fork()
    if not child:
        if drops:
            del feed
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    feed.next(into)
"""
    process, worker = script(tmp_path, tail)
    assert finish(process) == (0, "", "")
    assert gone(worker)


def test_the_workers_of_a_killed_process_end(tmp_path):
    process, worker = script(tmp_path, "time.sleep(60)")
    process.kill()
    finish(process)
    assert gone(worker)


def test_also_if_a_fork_of_it_holds_the_pipes(tmp_path):
    tail = (
        "if not os.fork():\n    time.sleep(20)\n    os._exit(0)\nprint('forked', flush=True)\ntime.sleep(60)"
    )
    process, worker = script(tmp_path, tail)
    process.stdout.readline()
    process.kill()
    assert gone(worker)
    process.stdout.close()
    process.stderr.close()
    process.wait()


def test_an_interrupt_is_the_parents_to_answer(tmp_path):
    tail = """
try:
    time.sleep(60)
except KeyboardInterrupt:
    feed.next(into)
    print(into["data"][0, 0])
"""
    process, worker = script(tmp_path, tail)
    try:
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGINT)
        os.kill(worker, signal.SIGINT)
        assert finish(process) == (0, "6.0\n", "")
        assert gone(worker)
    finally:
        process.kill()


# -- who works ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values, encoded, wanted, cpus, workers",
    [
        (50_000, False, None, 8, 0),  # MNIST
        (4_900_000, False, None, 2, 1),
        (50_000, True, None, 8, 2),
        (50_000, True, None, 64, 4),
        (50_000, False, 3, 2, 3),
        (4_900_000, True, 0, 8, 0),
    ],
)
def test_workers_where_they_pay(monkeypatch, values, encoded, wanted, cpus, workers):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cpus), raising=False)
    assert choose_workers(values, encoded, 4, wanted) == workers
    assert choose_workers(values, encoded, 0, wanted) == 0
