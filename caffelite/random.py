"""Random numbers that depend on what they are for, never on who drew before.

Each use names its own stream: ``source.generator("drop6", 120)`` gives the same numbers in every process,
on every machine, whatever was drawn elsewhere. So a resumed run, a prefetching worker or an additional layer
changes no other draw, and the whole random state of a net is one seed and the counters it has anyway.

The bits come from Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), keyed with the
BLAKE2b hash of the seed and the key.
"""

from __future__ import annotations

import hashlib
import operator
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence

Key = int | str


class _Digest(ISeedSequence):
    """Hands a hash to a bit generator as its key: a third of the cost of a ``SeedSequence``."""

    def __init__(self, digest: bytes):
        self.digest = digest

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        words = np.frombuffer(self.digest, np.dtype(dtype).newbyteorder("<"), n_words)
        return words.astype(dtype)


@dataclass(eq=False)
class RandomSource:
    """All random numbers of a net or a run.

    ``seed``: any integer from 0 up. A negative one (Caffe's ``random_seed: -1``) is replaced by 63 bits from
    the operating system, so that ``seed`` always holds a number which repeats the run.
    """

    seed: int = -1

    def __post_init__(self) -> None:
        if self.seed < 0:
            self.seed = int.from_bytes(os.urandom(8), "little") >> 1

    def reseed(self, seed: int) -> None:
        """Becomes the source of another seed for everybody who holds it: a resumed run takes its own back."""
        self.seed = seed

    def generator(self, *key: Key) -> np.random.Generator:
        """The generator of one use, at its start. Costs about 5 us.

        Its ``random_raw`` words never change; its distributions may between NumPy releases (NEP 19).
        """
        return np.random.Generator(self._philox(key))

    def words(self, start: int, count: int, *key: Key) -> np.ndarray:
        """Four random words for each of the items ``start`` to ``start + count``: uint64 (count, 4).

        An item's words do not depend on the range they are asked in.
        """
        philox = self._philox(key)
        philox.advance(start)  # one step of the counter makes four words
        return philox.random_raw(4 * count).reshape(count, 4)

    def permutation(self, count: int, *key: Key) -> np.ndarray:
        """A random order of ``count`` items, int64 (count,), the same with every NumPy release."""
        return np.argsort(self._philox(key).random_raw(count), kind="stable")

    def _philox(self, key: tuple[Key, ...]) -> np.random.Philox:
        digest: Any = _Digest(_hash(self.seed, key))  # NumPy takes any ISeedSequence, its types only its own
        return np.random.Philox(digest)


def _hash(seed: int, key: tuple[Key, ...]) -> bytes:
    parts = [f"i{operator.index(k)}" if not isinstance(k, str) else f"s{len(k)}:{k}" for k in key]
    return hashlib.blake2b("\0".join([str(seed), *parts]).encode(), digest_size=16).digest()
