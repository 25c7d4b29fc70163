"""All keys of a database, in little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


class Keys:
    """The keys end to end: a fifth of the memory of a list of them, and quick to send to another process."""

    def __init__(self, keys: Iterable[bytes]):
        found = list(keys)
        self._text = b"".join(found)
        self._ends = np.cumsum([0, *map(len, found)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def pick(self, numbers: np.ndarray) -> Iterator[bytes]:
        """The keys with these numbers."""
        starts, ends = self._ends[numbers].tolist(), self._ends[numbers + 1].tolist()
        return map(self._text.__getitem__, map(slice, starts, ends))

    def key(self, number: int) -> bytes:
        """One key."""
        return self._text[self._ends[number] : self._ends[number + 1]]


def readable(key: bytes) -> str:
    """A key for messages."""
    return key.decode("utf-8", "backslashreplace")
