"""Which record each item of a run is."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from caffelite.random import RandomSource


class Order:
    """Place p is record ``p mod n`` of epoch ``p div n``; when shuffling, each epoch has its own order.

    Item i of a run is at place ``start + i``.
    """

    def __init__(self, size: int, shuffle: bool, random: RandomSource, name: str, start: int = 0):
        self.size = size
        self.start = start
        self.shuffle = shuffle
        self._random = random
        self._name = name
        self._epoch = lru_cache(maxsize=2)(self._new_epoch)  # a batch may span two

    def numbers(self, item: int, count: int) -> np.ndarray:
        """The records that ``count`` items stand for, int64 (count,)."""
        epochs, numbers = np.divmod(np.arange(item, item + count) + self.start, self.size)
        if self.shuffle:
            for epoch in range(epochs[0], epochs[-1] + 1):
                numbers[epochs == epoch] = self._epoch(epoch)[numbers[epochs == epoch]]
        return numbers

    def number(self, item: int) -> int:
        """The record of one item."""
        return int(self.numbers(item, 1)[0])

    def _new_epoch(self, epoch: int) -> np.ndarray:
        return self._random.permutation(self.size, self._name, "shuffle", epoch)
