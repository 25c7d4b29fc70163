"""Memory of a net: named pieces that grow and stay, so that a thousand input sizes share one allocation each."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from caffelite.errors import CaffeliteError, NetError
from caffelite.graph.graph import Graph
from caffelite.params import Array
from caffelite.plan.kernel import CHANNELS_LAST, Engine
from caffelite.plan.plan import Buffer, Placement
from caffelite.types import count, shape_text

ARENA = "(arena)"


class Storage:
    """Pieces of memory by name.

    ``generation`` moves with every allocation; ``replaced`` is the generation at which a piece last gave way to
    a larger one, so that arrays bound before it are not the net's any more.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._pieces: dict[str, Array] = {}
        self._born: dict[str, int] = {}
        self.generation = 0
        self.replaced = 0

    def take(self, name: str, nbytes: int) -> Array:
        """At least ``nbytes`` bytes under a name, zero when new; smaller requests keep what is there.

        Raises CaffeliteError if the system has no such memory.
        """
        piece = self._pieces.get(name)
        if piece is None or piece.nbytes < nbytes:
            piece = self._allocated(name, max(nbytes, 1))
            self.generation += 1
            if name in self._pieces:
                self.replaced = self.generation
            self._pieces[name], self._born[name] = piece, self.generation
        return piece

    def _allocated(self, name: str, nbytes: int) -> Array:
        try:
            return self._engine.empty(nbytes)
        except MemoryError as error:
            raise CaffeliteError(
                f"out of memory: {name} needs {nbytes / 2**30:,.1f} GiB beside the {self.nbytes / 2**30:,.1f} GiB "
                "that the net has\n  Fix: take a smaller batch or smaller images, or close other programs"
            ) from error

    def reserve(self, placement: Placement) -> Array:
        """The piece of memory that a placement lies in, large enough for it."""
        name, offset = _where(placement.buffer)
        return self.take(name, offset + max(placement.buffer.nbytes, placement.operand.nbytes))

    def array(self, placement: Placement) -> Array:
        """The array that lies at a placement: of the operand's shape, strided as its layout says."""
        operand, offset = placement.operand, _where(placement.buffer)[1]
        raw = self.reserve(placement)[offset : offset + operand.nbytes]
        flat = raw.view(operand.dtype)
        if operand.layout == CHANNELS_LAST:
            n, c, h, w = operand.shape
            return flat.reshape(n, h, w, c).transpose(0, 3, 1, 2)
        return flat.reshape(operand.shape)

    def to_host(self, placement: Placement) -> Array:
        """The array at a placement in this process's memory: itself, or a copy of a device's."""
        return self._engine.to_host(self.array(placement))

    def put(self, placement: Placement, values: Array) -> None:
        """Copies values from this process's memory to a placement."""
        self._engine.put(self.array(placement), values)

    def is_seen(self, placement: Placement) -> bool:
        """Whether users can look at the memory itself: in this process, and in C order."""
        return not self._engine.remote and placement.operand.layout != CHANNELS_LAST

    def stamp(self, placement: Placement) -> int:
        """The generation at which the memory of a placement was allocated; -1 if it is not yet."""
        return self._born.get(_where(placement.buffer)[0], -1)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(piece.nbytes for piece in self._pieces.values())


def _where(buffer: Buffer) -> tuple[str, int]:
    """The name of a buffer's piece of memory, and its first byte there."""
    return (buffer.name, 0) if buffer.offset is None else (ARENA, buffer.offset)


def aligned_zeros(nbytes: int, alignment: int = 64) -> Array:
    """Zeroed bytes at an address that vector loads like; pages come from the system when first touched."""
    raw = np.zeros(nbytes + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + nbytes]


def memory_limit() -> int:
    """Bytes of memory that this process may ever have: the machine's, or the container's if that is less."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 62
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            limit = min(limit, int(text))
    return limit


def check_param_memory(graph: Graph, itemsize: int, limit: int) -> None:
    """Raises NetError for params that take more than ``limit`` bytes, before the first is allocated."""
    sizes = {use: count(use.spec.shape) * itemsize for use in graph.params}
    total = sum(sizes.values())
    if total > limit:
        use = max(sizes, key=sizes.__getitem__)
        raise NetError(
            f"net '{graph.name}' needs {total / 2**30:,.1f} GiB for its params, this machine has {limit / 2**30:,.1f} GiB; "
            f"the largest is param {use.index} ('{use.spec.name}') of layer '{use.layer}', {shape_text(use.spec.shape)}, "
            f"with {sizes[use] / 2**30:,.1f} GiB\n  Fix: check num_output of that layer"
        )
