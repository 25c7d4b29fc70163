"""ROIPooling by tables of maxima: every cell of every region is the largest of at most four numbers that stand ready.

A table holds, for each place of the map, the maximum over 2^a rows and 2^b columns from there on; the next one is the
maximum of a table and itself moved by 2^a rows or 2^b columns. Any cell is covered by four such blocks that may overlap.
Where a gradient is wanted, the tables hold integers of 64 bits, a number in the upper half and where it stands in the
lower, so that the maximum of two is at once the winner, among equals the one that comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar

import numpy as np

from caffelite.cpu.kernel import layer_of
from caffelite.cpu.threads import parallel_chunks
from caffelite.layers._rois import Floats, Ints
from caffelite.layers.base import SavedSpec
from caffelite.layers.roi_pooling import LOWEST, Edges
from caffelite.params import Array
from caffelite.plan.kernel import Kernel, Site
from caffelite.types import count

_TABLE = (
    1 << 17
)  # elements of a table, and of what is gathered from it at a time: both stay in a core's cache
_FEWEST = 16  # channels at a time, even of a large map: shorter rows are slow to gather
_LOW = (1 << 31) - 1


class RoiPooling(Kernel):
    """For float32; the same numbers as the array body's, gradients too."""

    name: ClassVar[str] = "tables"

    def __init__(self, site: Site):
        super().__init__(site)
        self._learns = site.backward and any(site.propagate)

    @classmethod
    def refuses(cls, site: Site) -> str:
        x = site.one("x")
        if x.dtype != "float32":
            return "its arrays are not float32"
        if not count(x.shape):
            return "an empty blob"
        return "more than 2^31 elements" if count(x.shape) >= _LOW else ""

    def saved(self) -> Sequence[SavedSpec]:
        """Where in x, channels last, the winner of each element of y stands; behind its end for none."""
        return [SavedSpec("winners", (count(self.site.one("y").shape),), "int32")] if self._learns else ()

    def reads(self) -> frozenset[str]:
        return frozenset(spec.name for spec in self.saved())

    def forward(self) -> None:
        x, y = self.arrays["x"], self.arrays["y"]
        cells = _Cells.of(*layer_of(self.site).grid(self.arrays["rois"], x.shape))
        channels = x.shape[1]
        values = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(-1, channels)
        rows = y.transpose(0, 2, 3, 1)
        direct = rows.flags.c_contiguous
        out = (rows if direct else np.empty(rows.shape, np.float32)).reshape(-1, channels)
        winners = self.arrays["winners"].reshape(out.shape) if self._learns else None

        def work(part: slice) -> None:
            if winners is None:
                _largest(values[:, part], cells, out[:, part])
            else:
                _Winners(values, part, cells).write(out[:, part], winners[:, part])

        parallel_chunks(work, channels, max(_TABLE // len(values) // _FEWEST, 1) * _FEWEST)
        if not direct:
            rows[...] = out.reshape(rows.shape)

    def backward(self) -> None:
        dx, dy = self.arrays["dx"], self.arrays["dy"]
        if dx is None:
            return
        items, channels, height, width = dx.shape
        total = np.zeros(dx.size + 1, np.float32)
        np.add.at(total, self.arrays["winners"], np.ascontiguousarray(dy.transpose(0, 2, 3, 1)).reshape(-1))
        dx[...] = total[:-1].reshape(items, height, width, channels).transpose(0, 3, 1, 2)


@dataclass(frozen=True)
class _Cells:
    """All cells of all regions, sorted by the table that they are read from. Places count along items, rows, columns."""

    order: Ints  # (K,) the number of each sorted cell among R * P * Q
    groups: list[
        tuple[int, int, slice]
    ]  # b, a, and which of the sorted cells: 2^a rows and 2^b columns, ascending
    corners: (
        Ints  # (4, K) the first places of the blocks that cover a cell: above left, right, below left, right
    )
    empty: Any  # (K,) bool
    over: Any  # (K,) bool: the cell reaches beyond the region's corners, by rounding
    last: Floats  # (2, K) the last row and column of the cell's region
    shape: tuple[int, int]  # rows and columns of the map

    @classmethod
    def of(cls, items: Ints, rows: Edges, cols: Edges) -> _Cells:
        first, below, a = _blocks(rows)
        left, right, b = _blocks(cols)
        level = (b[:, None, :] * 64 + a[:, :, None]).reshape(-1)
        order = np.argsort(level, kind="stable")
        starts = np.flatnonzero(np.diff(level[order], prepend=-1)).tolist()
        levels = [divmod(one, 64) for one in level[order[starts]].tolist()] if starts else []
        ends = [*starts[1:], len(order)][: len(starts)]
        item = items[:, None, None] * (rows.limit * cols.limit)
        corners = [
            (item + row[:, :, None] * cols.limit + col[:, None, :]).reshape(-1)[order]
            for row in (first, below)
            for col in (left, right)
        ]
        empty = (rows.after <= rows.first)[:, :, None] | (cols.after <= cols.first)[:, None, :]
        last = [_spread(axis.last[:, None], at, empty.shape) for at, axis in enumerate((rows, cols))]
        over = (rows.after > rows.last[:, None] + 1)[:, :, None] | (cols.after > cols.last[:, None] + 1)[
            :, None
        ]
        return cls(
            order,
            [(b, a, slice(*part)) for (b, a), *part in zip(levels, starts, ends, strict=True)],
            np.array(corners),
            empty.reshape(-1)[order],
            over.reshape(-1)[order],
            np.array(last)[:, order],
            (rows.limit, cols.limit),
        )


def _spread(last: Any, axis: int, shape: tuple[int, ...]) -> Any:
    """A number of each region for all its cells."""
    return np.broadcast_to(last[:, :, None], shape).reshape(-1)


def _blocks(edges: Edges) -> tuple[Ints, Ints, Ints]:
    """The first places of the two blocks of 2^level places that cover a cell, and the level; empty cells anywhere."""
    first = np.minimum(edges.first, edges.limit - 1)
    length = np.maximum(edges.after - first, 1)
    level = np.frexp(length)[1].astype(np.int64) - 1
    return first, first + length - (1 << level), level


def _largest(values: Array, cells: _Cells, out: Array) -> None:
    """Writes the maximum of each cell (K, C) from values (places, C)."""
    for part, best in _gathered(_numbers(values), cells):
        best[cells.empty[part]] = 0
        out[cells.order[part]] = best


def _numbers(values: Array) -> Array:
    """What the map holds, NaN and -infinity turned into -FLT_MAX, which wins nothing."""
    numbers: Array = np.fmax(values, np.float32(LOWEST))
    return numbers


class _Winners:
    """Maxima of some channels of a map (places, C) together with where they stand."""

    def __init__(self, values: Array, part: slice, cells: _Cells):
        self.cells, self.places, self.channels = cells, *values.shape
        self.first = np.arange(part.start, part.stop, dtype=np.int32)
        numbers = _numbers(values[:, part])
        numbers += 0  # -0 is 0, and no less
        bits = numbers.view(np.int32)
        self.table = (bits ^ ((bits >> 31) & _LOW)).astype(np.int64)  # rises with the number
        self.table <<= 32
        self.table |= (0xFFFFFFFF - np.arange(self.places))[:, None]

    def write(self, out: Array, winners: Array) -> None:
        """Writes the maximum of each cell (K, C), and the winner's position in the map."""
        for part, found in _gathered(self.table, self.cells):
            best, places = _halves(found)
            at = places * np.int32(self.channels)
            at += self.first
            none, empty = self.places * self.channels, self.cells.empty[part]
            (over,) = np.nonzero(self.cells.over[part])
            if len(over):
                at[over] = np.where(self._beyond(part.start + over, places[over]), none, at[over])
            if best.min() <= LOWEST:
                at[best <= LOWEST] = none
            if empty.any():
                best[empty], at[empty] = 0, none
            out[self.cells.order[part]] = best
            winners[self.cells.order[part]] = at

    def _beyond(self, cells: Ints, places: Any) -> Any:
        """Whether winners (K, C) of some sorted cells lie beyond the corners of their regions, and so have no gradient."""
        height, width = self.cells.shape
        rows, cols = np.divmod(places % (height * width), width)
        last_row, last_col = self.cells.last[:, cells, None]
        return (rows > last_row) | (cols > last_col)


def _halves(found: Array) -> tuple[Any, Any]:
    """The numbers and the places that a table's integers hold."""
    bits = (found >> 32).astype(np.int32)
    bits ^= (bits >> 31) & _LOW
    return bits.view(np.float32), ~found.astype(np.int32)


def _gathered(table: Array, cells: _Cells) -> Iterator[tuple[slice, Any]]:
    """The largest entries of some sorted cells (K, C) after the other. What is given lasts until the next."""
    step = max(_TABLE // table.shape[1] // 4, 1)
    found, room = np.empty((2, step, table.shape[1]), table.dtype)
    levels = [(b, a) for b, a, _ in cells.groups]
    for (b, a, group), blocks in zip(cells.groups, _tables(table, levels, cells.shape[1]), strict=True):
        others = [corner for corner, needed in ((1, b), (2, a), (3, a and b)) if needed]
        for start in range(group.start, group.stop, step):
            part = slice(start, min(start + step, group.stop))
            best, other = found[: part.stop - start], room[: part.stop - start]
            np.take(blocks, cells.corners[0, part], 0, out=best, mode="clip")
            for corner in others:
                np.take(blocks, cells.corners[corner, part], 0, out=other, mode="clip")
                np.maximum(best, other, out=best)
            yield part, best


def _tables(table: Array, levels: list[tuple[int, int]], width: int) -> Iterator[Array]:
    """The table for each (b, a), ascending. Blocks that reach over the map's edge hold nonsense, and are never read."""
    have = 0
    for b, pairs in groupby(levels, key=lambda pair: pair[0]):
        while have < b:
            table = _merged(table, 1 << have)
            have += 1
        tall, rows = table, 0
        for _, a in pairs:
            while rows < a:
                tall = _merged(tall, width << rows)
                rows += 1
            yield tall


def _merged(table: Array, shift: int) -> Array:
    return np.maximum(table[:-shift], table[shift:])


KERNELS = (RoiPooling,)
