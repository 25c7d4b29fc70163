"""One arena for buffers that do not live at the same time."""

from __future__ import annotations

from bisect import insort

from caffelite.plan.plan import Buffer

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


def assign_offsets(buffers: list[Buffer]) -> int:
    """Sets the offset of each buffer, in order of its first moment, best fit first; returns the arena's size."""
    arena = _Arena()
    active: list[tuple[int, int, int, int]] = []  # (last, order, offset, size), soonest to end first
    for order, buffer in enumerate(sorted(buffers, key=lambda b: (b.first, -b.nbytes))):
        while active and active[0][0] < buffer.first:
            _, _, offset, size = active.pop(0)
            arena.free(offset, size)
        size = -(-max(buffer.nbytes, 1) // ALIGNMENT) * ALIGNMENT
        buffer.offset = arena.take(size)
        insort(active, (buffer.last, order, buffer.offset, size))
    return arena.size


class _Arena:
    """Free stretches of a growing piece of memory, sorted by offset, neighbours joined."""

    def __init__(self) -> None:
        self.size = 0
        self.holes: list[tuple[int, int]] = []  # (offset, size)

    def take(self, size: int) -> int:
        fitting = [(hole, offset) for offset, hole in self.holes if hole >= size]
        if fitting:
            hole, offset = min(fitting)
            self.holes.remove((offset, hole))
            if hole > size:
                insort(self.holes, (offset + size, hole - size))
            return offset
        if self.holes and sum(self.holes[-1]) == self.size:  # the last hole touches the end: grow it
            offset, _ = self.holes.pop()
        else:
            offset = self.size
        self.size = offset + size
        return offset

    def free(self, offset: int, size: int) -> None:
        insort(self.holes, (offset, size))
        joined: list[tuple[int, int]] = []
        for start, length in self.holes:
            if joined and sum(joined[-1]) == start:
                joined[-1] = (joined[-1][0], joined[-1][1] + length)
            else:
                joined.append((start, length))
        self.holes = joined
