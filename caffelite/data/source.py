"""What a data layer sees of its data: the next batch, and where in the data it stands."""

from __future__ import annotations

import os
from math import prod
from typing import Any, Protocol

from caffelite.data.owner import Owner
from caffelite.data.prefetch import Arrays, BatchMaker, Feed, InlineFeed, Prefetcher, choose_workers
from caffelite.data.skipped import Skipped
from caffelite.random import RandomSource
from caffelite.types import Shape


class Batches(BatchMaker, Protocol):
    """Makes any batch of a data set, by the number of its first item in the whole run.

    Copies of it (pickles, in other processes) make the same batches.
    """

    batch_size: int
    random: RandomSource
    owner: Owner
    varying: bool  # batches of different shapes may follow each other

    @property
    def slow(self) -> bool:
        """Whether images are decoded."""
        ...

    def __len__(self) -> int:
        """Records in the data set."""
        ...

    def shapes(self, item: int) -> dict[str, Shape]:
        """Shapes of the batch that begins with ``item``. Raises DataError."""
        ...

    def identity(self) -> dict[str, Any]:
        """What must be the same when a run is resumed, for JSON."""
        ...


class Source:
    """Batches of a data set, one after the other, over and over.

    prefetch:  batches made ahead (Caffe: 4) where worker processes make them; 0 keeps everything in line.
    workers:   processes; None decides by what a batch costs (:func:`choose_workers`), 0 is none; never more than
               ``max_workers``.

    Raises:
        DataError: the data set is not usable, its first records in particular.
    """

    def __init__(
        self, batches: Batches, prefetch: int = 4, workers: int | None = None, max_workers: int | None = None
    ):
        if batches.batch_size < 1:
            raise batches.owner.error("expected batch_size >= 1", batches.batch_size)
        self._batches = batches
        first = batches.shapes(0)
        values = sum(map(prod, first.values()))
        one_by_one = batches.varying and batches.batch_size == 1
        self._prefetch = prefetch
        chosen = 0 if one_by_one else choose_workers(values, batches.slow, prefetch, workers)
        self._workers = chosen if max_workers is None else min(chosen, max_workers)
        self._fixed = None if batches.varying and not self._workers else first
        self._item = 0
        self._feed: Feed | None = None
        self._process = os.getpid()
        self._skipped = Skipped(len(batches), batches.owner)

    def __len__(self) -> int:
        """Records in the data set."""
        return len(self._batches)

    @property
    def workers(self) -> int:
        """Worker processes that make the batches; 0: they are made in line."""
        return self._workers

    def shapes(self) -> dict[str, Shape]:
        """Shapes of the arrays that the coming ``next`` fills."""
        return self._fixed or self._batches.shapes(self._item)

    def next(self, into: Arrays) -> None:
        """Fills ``into`` with the next batch and moves on by it; its arrays have the shapes that ``shapes`` tells.

        Raises:
            DataError: an unfitting record (it is named), too many bad ones, or a worker that was killed.
        """
        if self._process != os.getpid():  # forked: the workers are our parent's
            self._process, self._feed = os.getpid(), None
        if self._feed is None:
            self._feed = self._start()
        bad = self._feed.next(into)
        position = self._feed.position
        try:
            self._skipped.add(bad)
        except BaseException:
            self.close()  # the batch counts as not delivered
            raise
        self._item = position

    def state(self) -> dict[str, Any]:
        """Where the data stands after the last ``next``, for JSON; what is only prefetched counts not."""
        batches = self._batches
        state = {"item": self._item, **batches.identity(), "seed": batches.random.seed}
        return {**state, "skipped": sorted(self._skipped.numbers)} if self._skipped.numbers else state

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on at a saved position with the saved seed, bit for bit.

        Raises:
            DataError: the data set has another size, or ``shuffle`` was changed.
        """
        for name, now in self._batches.identity().items():
            if state.get(name, now) != now:
                expected = f"expected {self._batches} with {name} = {state[name]} as in the snapshot"
                fix = "resume with the same data, or fine-tune from the weights alone"
                raise self._batches.owner.error(expected, now, fix)
        self.close()
        self._batches.random = RandomSource(state["seed"])
        self._item = state["item"]
        self._skipped.numbers = set(state.get("skipped", ()))

    def close(self) -> None:
        """Ends workers and closes files; the position stays. May be called twice."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None
        self._batches.close()

    def _start(self) -> Feed:
        step = self._batches.batch_size
        if not self._workers or self._fixed is None:
            return InlineFeed(self._batches, self._item, step)
        shapes, owner = self._fixed, self._batches.owner
        return Prefetcher(self._batches, shapes, self._item, step, self._prefetch, self._workers, owner)
