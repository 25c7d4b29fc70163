"""What users see of blobs that are channels-last in memory, or on a device: arrays in C order, as Caffe's blobs are.

Old scripts write through ``blob.diff[0].reshape(channels, -1)``, which for a strided array would be a copy, and their
values would go nowhere. So the user gets a mirror: what was written into it goes to the blob before the next pass, and
views that are still alive show the blob again after it. Blobs that nobody looks at cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from caffelite.params import Array, Leased
from caffelite.plan.plan import Placement
from caffelite.storage import Storage


@dataclass
class _Mirror:
    place: Placement
    seen: Leased


class Mirrors:
    """The mirrors of a net: those handed out since the last pass, and those of which a view is alive."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._by_buffer: dict[str, _Mirror] = {}  # by memory, which a blob and its splits share

    def view(self, place: Placement) -> Array:
        """A live, writable array in C order: the memory itself where it is so, else its mirror."""
        if self._storage.is_seen(place):
            return self._storage.array(place)
        mirror = self._by_buffer.get(place.buffer.name)
        if mirror is None or mirror.place.operand.shape != place.operand.shape:
            mirror = _Mirror(place, Leased(partial(self._fetched, place), place.operand.dtype))
            self._by_buffer[place.buffer.name] = mirror
        return mirror.seen.view()

    @contextmanager
    def passing(self, computed: str = "") -> Iterator[None]:
        """Around a pass. ``computed``: the kind of buffers, all of which it computes before anything reads them."""
        self.write_back(computed)
        try:
            yield
        finally:
            self.refresh()

    def write_back(self, computed: str = "") -> None:
        """Copies what users have written to where the net reads it."""
        for mirror in list(self._by_buffer.values()):  # another thread may look at a blob meanwhile
            if mirror.place.buffer.kind != computed or mirror.place.buffer.source:
                self._storage.put(mirror.place, mirror.seen.array)

    def refresh(self) -> None:
        """Copies what the net has computed to the views that are alive, and forgets the others."""
        self._by_buffer = {name: mirror for name, mirror in list(self._by_buffer.items()) if mirror.seen.held}
        for mirror in list(self._by_buffer.values()):
            mirror.seen.array[...] = self._storage.to_host(mirror.place)

    def _fetched(self, place: Placement) -> Array:
        return np.array(self._storage.to_host(place), order="C")
