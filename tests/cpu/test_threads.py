"""Threads: their number, the state in which plans run, forks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from caffelite.cpu import cores, threads
from caffelite.cpu.onednn_library import available
from caffelite.errors import UsageError

needs_onednn = pytest.mark.skipif(available() is not None, reason=str(available()))
DENORMAL = np.float32(1e-40)


@pytest.fixture(autouse=True)
def _default_number(monkeypatch):
    for variable in threads.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    threads._default_threads.cache_clear()
    yield
    threads.set_threads(None)
    threads._default_threads.cache_clear()


def write_files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


# -- how many -----------------------------------------------------------------------------------------------


def test_siblings_count_as_one_core(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    siblings = {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}
    folder = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    write_files(tmp_path, {folder.format(cpu): text for cpu, text in siblings.items()})
    assert cores.usable_cores(tmp_path) == 2


def test_cores_without_topology_are_the_logical_cpus(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4, 5, 7}, raising=False)
    assert cores.usable_cores(tmp_path) == 3


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "250000 100000"}, 2.5),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, None),
        (
            {
                "proc/self/cgroup": "0::/a/b",
                "sys/fs/cgroup/a/cpu.max": "100000 100000",
                "sys/fs/cgroup/a/b/cpu.max": "300000 100000",
            },
            1.0,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/x",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/docker/0123",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            None,
        ),
    ],
)
def test_container_limits(tmp_path, files, quota):
    assert cores.cpu_quota(write_files(tmp_path, files)) == quota


@pytest.mark.parametrize(
    ("limit", "expected"), [("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", 4)]
)
def test_a_container_limit_is_rounded_down(tmp_path, monkeypatch, limit, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    write_files(tmp_path, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": limit})
    assert cores.usable_cores(tmp_path) == expected


def test_the_order_of_the_sources(monkeypatch):
    assert threads.num_threads() == cores.usable_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    threads._default_threads.cache_clear()
    assert threads.num_threads() == 3
    monkeypatch.setenv("CAFFELITE_THREADS", "5")
    threads._default_threads.cache_clear()
    assert threads.num_threads() == 5
    threads.set_threads(7)
    assert threads.num_threads() == 7


@pytest.mark.parametrize("text", ["0", "two", "-1"])
def test_nonsense_in_the_environment_is_named(monkeypatch, text):
    monkeypatch.setenv("CAFFELITE_THREADS", text)
    with pytest.raises(
        UsageError, match=f"CAFFELITE_THREADS in the environment: expected a number of threads, got '{text}'"
    ):
        threads.num_threads()


def test_at_least_one_thread():
    with pytest.raises(UsageError, match="expected at least 1, got 0"):
        threads.set_threads(0)


# -- the state of a plan ------------------------------------------------------------------------------------

flushes = pytest.mark.skipif(threads._libm() is None, reason=threads.denormals_note())


@flushes
def test_denormals_are_flushed_inside_and_kept_outside():
    x = np.full(4, DENORMAL)
    with threads.compute():
        with threads.compute():
            assert not (x * np.float32(1)).any()
        assert not (x * np.float32(1)).any()
    assert (x * np.float32(1) == x).all()


@flushes
@needs_onednn
def test_denormals_are_flushed_in_every_thread_of_the_team():
    from caffelite.cpu import onednn, onednn_primitives
    from caffelite.cpu.onednn_types import Algorithm, Arg

    threads.set_threads(2)
    x = np.full(1 << 20, DENORMAL)
    y = np.ones_like(x)
    desc = onednn.MemoryDesc.like(x)
    memories = {Arg.SRC: onednn.Memory.of(x), Arg.DST: onednn.Memory.of(y)}
    with threads.compute():
        onednn_primitives.eltwise(Algorithm.LINEAR, desc, desc, 1.0, 0.0, False).bind(memories).run()
    assert not y.any()


@flushes
def test_an_error_inside_restores_the_state():
    with pytest.raises(KeyError), threads.compute():
        raise KeyError
    assert DENORMAL * np.float32(1) == DENORMAL


def test_numpys_blas_is_held_at_one_thread():
    blas = threads._blas()
    if blas is None:
        pytest.skip("this NumPy has no OpenBLAS of its own")
    before = blas._get()
    with threads.compute():
        assert blas._get() == 1
        with threads.compute():
            assert blas._get() == 1
        assert blas._get() == 1
    assert blas._get() == before


FORK = """
    import os, sys, time
    import numpy as np
    from caffelite.cpu import onednn, threads

    threads.set_threads(2)
    x = np.ones((300, 300), np.float32)

    def add_one(flat, piece):
        flat[piece] += 1

    def product():
        y = np.zeros_like(x)
        with threads.compute():
            onednn.sgemm(x, x, y)
            threads.parallel_chunks(lambda piece: add_one(y.reshape(-1), piece), y.size, 1000)
        return bool((y == 301).all())

    assert product()
    child = os.fork()
    if child == 0:
        os._exit(0 if product() else 1)
    assert product()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            sys.exit(os.waitstatus_to_exitcode(status))
        time.sleep(0.01)
    os.kill(child, 9)
    sys.exit("the child hangs")
"""


@needs_onednn
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_plans_run_on_both_sides_of_a_fork():
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK)], capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr


# -- NumPy on several threads -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 100])
def test_pieces_cover_the_range_once(number, count):
    threads.set_threads(number)
    hits = np.zeros(count, int)

    def work(piece: slice) -> None:
        assert piece.stop - piece.start <= 10
        hits[piece] += 1

    threads.parallel_chunks(work, count, chunk=10)
    assert (hits == 1).all()


@pytest.mark.parametrize("bad", [0, 99])
def test_the_error_of_any_piece_is_raised(bad):
    threads.set_threads(2)

    def work(piece: slice) -> None:
        if bad in range(piece.start, piece.stop):
            raise FloatingPointError(str(bad))

    with pytest.raises(FloatingPointError, match=str(bad)):
        threads.parallel_chunks(work, 100, chunk=10)


@flushes
def test_pieces_flush_denormals_in_every_thread():
    threads.set_threads(2)
    x = np.full(100, DENORMAL)
    with threads.compute():
        threads.parallel_chunks(
            lambda piece: np.multiply(x[piece], np.float32(1), out=x[piece]), 100, chunk=10
        )
    assert not x.any()
