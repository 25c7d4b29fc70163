"""Work on many files at once, with results in order and few of them in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from caffelite.cpu.cores import usable_cores

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 32  # results a thread may be ahead of whoever takes them


def in_order(function: Callable[[T], R], items: Sequence[T], threads: int = 0) -> Iterator[R]:
    """The results for all items; ``threads`` 0: as many as there are cores.

    Threads are enough where OpenCV does the work: it lets go of the interpreter meanwhile.
    """
    threads = threads or usable_cores()
    chunk = _AHEAD * threads
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(items), chunk):
            yield from pool.map(function, items[start : start + chunk])
