"""Threads of the CPU engine: how many, who owns them, what state they are in.

One pool computes: the OpenMP team of oneDNN. Everything that runs a plan does so inside :func:`compute`,
which

* sets the number of threads (OpenMP keeps it per calling thread);
* makes the team flush denormal numbers to zero (a gradient full of them is 200 times slower otherwise);
* holds NumPy's OpenBLAS at one thread, whose workers would spin against the team's.

Number of threads, first that is given: :func:`set_threads`, ``CAFFELITE_THREADS``, ``OMP_NUM_THREADS``, the
physical cores that this process may use (its affinity and its container's CPU limit considered).

Forking: just before a fork the forking thread's team is dissolved, so parent and child each form a new one.
"""

from __future__ import annotations

import ctypes as c
import os
import platform
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

from caffelite.cpu.cores import usable_cores
from caffelite.cpu.onednn_library import available, library
from caffelite.errors import UsageError

VARIABLES = ("CAFFELITE_THREADS", "OMP_NUM_THREADS")
CHUNK = 1 << 16
"""Elements of one step of :func:`parallel_chunks`: 256 KiB of float32, which stays in a core's cache."""

_FLUSH = 0x8040  # MXCSR: flush-to-zero (bit 15), denormals-are-zero (bit 6)
_HARD_PAUSE = 2  # omp_pause_hard: give the team's threads back

_chosen: int | None = None
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def set_threads(number: int | None) -> None:
    """Use this many threads from the next plan on; ``None``: the default. Raises UsageError below 1."""
    global _chosen
    if number is not None and number < 1:
        raise UsageError(f"number of threads: expected at least 1, got {number}")
    _chosen = number


def num_threads() -> int:
    """Threads that plans use now. Raises UsageError if an environment variable holds no positive number."""
    return _chosen or _default_threads()


@lru_cache(maxsize=1)
def _default_threads() -> int:
    for variable in VARIABLES:
        text = os.environ.get(variable, "").split(",")[0].strip()
        if text:
            if not text.isdecimal() or int(text) < 1:
                raise UsageError(f"{variable} in the environment: expected a number of threads, got '{text}'")
            return int(text)
    return usable_cores()


def apply() -> int:
    """Tell OpenMP the number of threads for what the calling thread makes and runs next, and return it.

    oneDNN builds the number into each primitive. :func:`compute` does this as well.
    """
    number, team = num_threads(), _team()
    if team is not None:
        team.set_threads(number)
    return number


# -- denormal numbers ---------------------------------------------------------------------------------------


class _FloatEnvironment(c.Structure):
    """``fenv_t`` of glibc on x86-64."""

    _fields_ = [("x87", c.c_uint32 * 7), ("mxcsr", c.c_uint32)]


@lru_cache(maxsize=1)
def _libm() -> c.CDLL | None:
    """The C library's floating-point control, where its layout is known."""
    if platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        return None
    libm = c.CDLL("libm.so.6")
    libm.fegetenv.argtypes = libm.fesetenv.argtypes = (c.c_void_p,)
    return libm


def denormals_note() -> str:
    """Whether denormal numbers are flushed to zero during plans; else why not."""
    if _libm() is None:
        system = f"{platform.system()} on {platform.machine()}"
        return f"denormal numbers are computed in full ({system}; flushed only with glibc on x86-64)"
    return "denormal numbers are flushed to zero"


def flushes() -> bool:
    """Whether :func:`compute` makes all threads of a plan flush denormal numbers to zero."""
    team = _team()
    return team is not None and team.parallel is not None and team.set_environment is not None


@contextmanager
def unflushed() -> Iterator[None]:
    """Denormal numbers count in the calling thread while the block runs, even inside :func:`compute`."""
    before = _flush_this_thread(False)
    try:
        yield
    finally:
        if before is not None and (libm := _libm()) is not None:
            libm.fesetenv(c.addressof(before))


def _flush_this_thread(flush: bool = True) -> _FloatEnvironment | None:
    """Set or end flush-to-zero in the calling thread; gives the environment from before."""
    libm = _libm()
    if libm is None:
        return None
    old = _FloatEnvironment()
    libm.fegetenv(c.addressof(old))
    new = _FloatEnvironment.from_buffer_copy(old)
    new.mxcsr = new.mxcsr | _FLUSH if flush else new.mxcsr & ~_FLUSH
    libm.fesetenv(c.addressof(new))
    return old


class _Team:
    """The OpenMP functions that oneDNN's own runtime offers, found through oneDNN's library."""

    def __init__(self) -> None:
        dll = library().dll
        self.set_threads: Callable[[int], Any] = dll.omp_set_num_threads
        self.parallel = getattr(dll, "GOMP_parallel", None)
        self.pause = getattr(dll, "omp_pause_resource_all", None)
        if self.parallel is not None:
            self.parallel.argtypes = (c.c_void_p, c.c_void_p, c.c_uint, c.c_uint)
        libm = _libm()
        self.set_environment = c.cast(libm.fesetenv, c.c_void_p) if libm else None

    def share(self, environment: _FloatEnvironment) -> None:
        """Set a floating-point environment in every thread of the caller's team."""
        if self.parallel is not None:
            self.parallel(self.set_environment, c.addressof(environment), 0, 0)


@lru_cache(maxsize=1)
def _team() -> _Team | None:
    if available() is not None or library().runtime != "OpenMP":
        return None
    return _Team()


# -- OpenBLAS -----------------------------------------------------------------------------------------------


class _Blas:
    """NumPy's own OpenBLAS, if it has one: its thread count is a property of the process."""

    NAMES = ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_", "openblas_{}_num_threads")

    def __init__(self, dll: c.CDLL, name: str):
        self._set, self._get = getattr(dll, name.format("set")), getattr(dll, name.format("get"))
        self._users = 0
        self._before = 1

    def enter(self) -> None:
        with _lock:
            self._users += 1
            if self._users == 1:
                self._before = self._get()
                if self._before > 1:
                    self._set(1)

    def leave(self) -> None:
        with _lock:
            self._users -= 1
            if self._users == 0 and self._before > 1:
                self._set(self._before)


@lru_cache(maxsize=1)
def _blas() -> _Blas | None:
    import numpy as np

    folder = Path(np.__file__).resolve().parent
    for path in [*folder.parent.glob("numpy.libs/*openblas*"), *folder.glob(".dylibs/*openblas*")]:
        dll = c.CDLL(str(path))
        for name in _Blas.NAMES:
            if hasattr(dll, name.format("set")):
                return _Blas(dll, name)
    return None


# -- the state that plans run in ----------------------------------------------------------------------------


class compute:
    """The state in which plans run; what was before comes back. May nest, and run in several threads.

    Costs a few microseconds: enter it once for a pass over a net.
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        team, blas = _team(), _blas()
        if blas is not None:
            blas.enter()
        if team is not None:
            team.set_threads(num_threads())
        self._before = _flush_this_thread()
        if team is not None and self._before is not None:
            flushed = _FloatEnvironment.from_buffer_copy(self._before)
            flushed.mxcsr |= _FLUSH
            team.share(flushed)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        libm, blas = _libm(), _blas()
        if libm is not None and self._before is not None:
            libm.fesetenv(c.addressof(self._before))
        if blas is not None:
            blas.leave()


# -- NumPy on several threads -------------------------------------------------------------------------------


def parallel_chunks(work: Callable[[slice], object], count: int, chunk: int = CHUNK) -> None:
    """Call ``work(slice)`` for consecutive pieces of ``range(count)``, on the threads that plans use.

    For elementwise NumPy on flat arrays: several passes over a piece of ``chunk`` elements stay in the
    cache, and NumPy lets other threads run meanwhile. Pieces do not depend on the number of threads. The
    first exception of any piece is raised after all threads have ended.
    """
    pieces = -(-count // chunk)
    threads = min(num_threads(), pieces)
    if threads <= 1:
        _run_pieces(work, count, chunk, 0, pieces)
        return
    bounds = [pieces * thread // threads for thread in range(threads + 1)]
    ranges = list(pairwise(bounds))
    pool = _workers(threads - 1)
    others = [pool.submit(_run_pieces, work, count, chunk, *part) for part in ranges[1:]]
    try:
        _run_pieces(work, count, chunk, *ranges[0])
    finally:
        failures = [failure for other in others if (failure := other.exception())]
    if failures:
        raise failures[0]


def _run_pieces(work: Callable[[slice], object], count: int, chunk: int, first: int, last: int) -> None:
    for piece in range(first, last):
        work(slice(piece * chunk, min((piece + 1) * chunk, count)))


def _workers(number: int) -> ThreadPoolExecutor:
    """The pool, remade when more threads are asked for. Its threads flush denormals like the team's."""
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size < number:
            _pool = ThreadPoolExecutor(number, "caffelite", initializer=_flush_this_thread)
            _pool_size = number
        return _pool


# -- forks --------------------------------------------------------------------------------------------------


def _before_fork() -> None:
    """The child would wait for ever for a team that did not come along, so there is none at a fork."""
    if _team.cache_info().currsize and (team := _team()) is not None and team.pause is not None:
        team.pause(_HARD_PAUSE)


def _after_fork_in_child() -> None:
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
