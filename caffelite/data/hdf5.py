"""Batches of rows of HDF5 files: the HDF5Data layer's source. Files of any size: only rows that are asked for are read.

Shuffling permutes the files, and the rows in each of them. Rows of contiguous data are read one by one, so any
permutation will do. Chunked data, compressed above all, is read chunk by chunk or not at all in sensible time: there
blocks of rows, as tall as the chunks, are permuted, and then the rows within groups of blocks that fill the memory
allowed. A file that fits into it is thus permuted row by row as well. Chunks so tall that a block of rows would not fit
are read several times, a part of their rows each time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from caffelite.data.hdf5_file import Table, damage, open_hdf5, open_table
from caffelite.data.owner import NOBODY, Owner
from caffelite.data.prefetch import Arrays
from caffelite.data.skipped import Bad
from caffelite.data.transform import Transformer
from caffelite.errors import DataError
from caffelite.random import RandomSource
from caffelite.types import Shape

_log = logging.getLogger(__name__)

_GOOD_CHUNK_BYTES = 1 << 20
_IN_ORDER_BYTES = 1 << 23  # of chunked data, read at a time where nothing is shuffled


class _Place(NamedTuple):
    """Rows in a file: ``count`` of them from ``first`` on, in the order that they have in an epoch."""

    epoch: int
    file: int
    first: int
    rows: int


class _Groups(NamedTuple):
    """The blocks of a file in the order of an epoch, ``each`` of them in a group; ``ends``: rows up to each group's end."""

    blocks: np.ndarray
    each: int
    ends: np.ndarray


class Hdf5Batches:
    """Makes any batch of rows of HDF5 files, by the number of its first item; one array for each dataset.

    Batches run on from file to file. ``transformer`` acts on the first dataset, whose rows are then images (C, H, W).
    ``memory``: bytes of rows that may be held at a time, at least one row.
    """

    varying = False
    slow = False

    def __init__(
        self,
        paths: Sequence[str],
        names: Sequence[str],
        batch_size: int,
        random: RandomSource,
        owner: Owner = NOBODY,
        *,
        shuffle: bool = False,
        memory: int = 1 << 27,
        transformer: Transformer | None = None,
    ):
        self.paths = list(paths)
        self.names = list(names)
        self.batch_size = batch_size
        self.random = random
        self.owner = owner
        self.shuffle = shuffle
        self.memory = memory
        self.transformer = transformer
        self.tables = [self._bounded(open_table(path, names, owner)) for path in paths]
        self._check_tables()
        self._forget()

    def _check_tables(self) -> None:
        first = self.tables[0]
        for table in self.tables:
            if table.shapes != first.shapes:
                raise self.owner.error(
                    f"expected rows {dict(first.shapes)} in '{table.path}', as in '{first.path}'",
                    dict(table.shapes),
                )
        if not len(self):
            raise self.owner.error(f"expected rows in {self}", "none")

    def _bounded(self, table: Table) -> Table:
        """The table with blocks that fit into the memory allowed."""
        most = max(1, self.memory // max(1, table.row_bytes))
        if table.block <= most:
            return table
        times, size = -(-table.block // most), table.block * table.row_bytes >> 20
        few = max(1, _GOOD_CHUNK_BYTES // table.row_bytes)
        text = f"rows of '{table.path}' are read {times} times over: chunks of {table.block} rows, {size} MiB, do not fit"
        fix = f"write it with chunks of whole rows, {few} at most (h5repack), or set shuffle_mb: {size + 1} or more"
        _log.warning("%s", self.owner.message(text, fix=fix))
        return replace(table, block=most)

    def _forget(self) -> None:
        self._process = os.getpid()
        self._open: tuple[int, Any] | None = None  # the file that was read last
        self._held: tuple[tuple[int, bytes], Arrays] | None = None  # the group of blocks that was read last
        self._permutation = lru_cache(maxsize=8)(self._new_permutation)
        self._rows_order = lru_cache(maxsize=2)(self._new_permutation)  # these may be long
        self._groups = lru_cache(maxsize=2)(self._new_groups)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def __str__(self) -> str:
        return f"'{self.paths[0]}'" + (f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else "")

    def __len__(self) -> int:
        return sum(table.rows for table in self.tables)

    def close(self) -> None:
        """Closes files; they open again when needed."""
        if self._open is not None and self._process == os.getpid():
            self._open[1].close()
        self._forget()

    def identity(self) -> dict[str, Any]:
        """What must be the same when a run is resumed."""
        return {"records": len(self), "shuffle": self.shuffle, "memory": self.memory if self.shuffle else 0}

    def shapes(self, item: int) -> dict[str, Shape]:
        """Shapes (N, *row) of the datasets. Raises DataError if rows do not fit their transformation."""
        rows = dict(self.tables[0].shapes)
        if self.transformer:
            rows[self.names[0]] = self._transformed(rows[self.names[0]], self.transformer)
        return {name: (self.batch_size, *row) for name, row in rows.items()}

    def _transformed(self, row: Shape, transformer: Transformer) -> Shape:
        if len(row) != 3:
            fix = "remove transform_param, or store images as (N, C, H, W)"
            expected = f"expected rows (C, H, W) of dataset '{self.names[0]}' for transform_param"
            raise self.owner.error(expected, row, fix)
        try:
            return transformer.output_shape(row)
        except DataError as error:
            raise self.owner.error(f"dataset '{self.names[0]}': {error}") from error

    def make(self, item: int, into: Arrays) -> list[Bad]:
        """Fills an array (N, *row) for each dataset.

        Raises:
            DataError: a file cannot be read any more.
        """
        start = 0
        for place in self._places(item, self.batch_size):
            with damage(self.paths[place.file], self.owner):
                for rows in self._read(place):
                    end = start + len(rows[self.names[0]])
                    self._put(item + start, rows, {name: array[start:end] for name, array in into.items()})
                    start = end
        return []

    def _put(self, item: int, rows: Arrays, into: Arrays) -> None:
        for name, out in into.items():
            if self.transformer and name == self.names[0]:
                draws = self.transformer.draws
                words = self.random.words(item, len(out), self.owner.name, "transform") if draws else None
                self.transformer.apply_batch(rows[name], out, words)
            else:
                out[...] = rows[name]

    def _places(self, item: int, count: int) -> Iterator[_Place]:
        """Where the rows of so many items are, file by file."""
        while count:
            epoch, first = divmod(item, len(self))
            for file in self._permutation(len(self.tables), "files", epoch):
                rows = self.tables[file].rows
                if first < rows:
                    break
                first -= rows
            taken = min(count, rows - first)
            yield _Place(epoch, int(file), first, taken)
            item, count = item + taken, count - taken

    def _new_permutation(self, count: int, what: str, *key: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(count)
        return self.random.permutation(count, self.owner.name, what, *key)

    def _read(self, place: _Place) -> Iterator[Arrays]:
        """The rows of a place, in pieces."""
        table = self.tables[place.file]
        if table.block == 1 and not (self.shuffle and table.rows * table.row_bytes <= self.memory):
            yield self._rows(place)
        else:
            yield from self._grouped_rows(place)

    def _rows(self, place: _Place) -> Arrays:
        """Rows from contiguous data: only they are read."""
        first, last = place.first, place.first + place.rows
        if not self.shuffle:
            return {name: dataset[first:last] for name, dataset in self._datasets(place.file).items()}
        rows = self._rows_order(self.tables[place.file].rows, "rows", place.epoch, place.file)[first:last]
        return {name: _pick(dataset, rows.tolist()) for name, dataset in self._datasets(place.file).items()}

    def _grouped_rows(self, place: _Place) -> Iterator[Arrays]:
        """Rows from groups of blocks, each of which is read once."""
        first, left = place.first, place.rows
        blocks, each, ends = self._groups(place.epoch, place.file)
        while left:
            group = int(np.searchsorted(ends, first, side="right"))
            size = int(ends[group] - (ends[group - 1] if group else 0))
            at = first - int(ends[group] - size)
            taken = min(left, size - at)
            rows = self._rows_order(size, "rows", place.epoch, place.file, group)[at : at + taken]
            held = self._group(place.file, blocks[group * each : (group + 1) * each])
            yield {name: array[rows] for name, array in held.items()}
            first, left = first + taken, left - taken

    def _new_groups(self, epoch: int, file: int) -> _Groups:
        table = self.tables[file]
        count = -(-table.rows // table.block)
        held = self.memory if self.shuffle else min(self.memory, _IN_ORDER_BYTES)
        each = max(1, held // max(1, table.block * table.row_bytes))
        blocks = np.arange(count) if each >= count else self._permutation(count, "blocks", epoch, file)
        sizes = np.minimum(table.block, table.rows - blocks * table.block)
        return _Groups(blocks, each, np.cumsum(np.add.reduceat(sizes, np.arange(0, count, each))))

    def _group(self, file: int, blocks: np.ndarray) -> Arrays:
        """The rows of some blocks, one block after the other; the last group asked for is kept."""
        key = (file, blocks.tobytes())
        if self._held is None or self._held[0] != key:
            self._held = None  # frees the memory first
            self._held = key, self._load(file, blocks)
        return self._held[1]

    def _load(self, file: int, blocks: np.ndarray) -> Arrays:
        table, datasets = self.tables[file], self._datasets(file)
        ranges = [(start, min(start + table.block, table.rows)) for start in (blocks * table.block).tolist()]
        if (np.diff(blocks) == 1).all():
            return {name: dataset[ranges[0][0] : ranges[-1][1]] for name, dataset in datasets.items()}
        size = sum(end - start for start, end in ranges)
        found = {name: np.empty((size, *d.shape[1:]), d.dtype) for name, d in datasets.items()}
        for name, dataset in datasets.items():
            at = 0
            for start, end in ranges:
                dataset.read_direct(found[name], np.s_[start:end], np.s_[at : at + end - start])
                at += end - start
        return found

    def _datasets(self, file: int) -> dict[str, Any]:
        if self._process != os.getpid():  # forked: the file is our parent's
            self._forget()
        if self._open is None or self._open[0] != file:
            if self._open is not None:
                self._open[1].close()
            self._open = file, open_hdf5(self.paths[file], self.owner)
        return {name: self._open[1][name] for name in self.names}


def _pick(dataset: Any, rows: list[int]) -> np.ndarray:
    """Single rows: h5py reads them one by one in a fifth of the time that it takes for a list of them."""
    found = np.empty((len(rows), *dataset.shape[1:]), dataset.dtype)
    for i, row in enumerate(rows):
        found[i] = dataset[row]
    return found
