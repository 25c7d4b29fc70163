"""Batches of databases of Datums: the Data layer's source."""

from __future__ import annotations

import os
from contextlib import suppress

from caffelite.data.database import Database, open_database
from caffelite.data.datum import Datum, Layout
from caffelite.data.images import Example, ImageBatches
from caffelite.data.keys import Keys
from caffelite.data.owner import NOBODY, Owner
from caffelite.data.prefetch import Arrays
from caffelite.data.skipped import MAX_IN_A_ROW, Bad, BadRecordError
from caffelite.data.source import Source
from caffelite.data.transform import Transformer, TransformParams
from caffelite.random import RandomSource
from caffelite.types import Phase


class DatumBatches(ImageBatches):
    """Makes any batch of a database of Datums. Records come in the order of their keys, unless shuffled.

    A record's label is its integer, or the vector of its ``labels``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        batch_size: int,
        transformer: Transformer,
        random: RandomSource,
        owner: Owner = NOBODY,
        backend: str = "LMDB",
        shuffle: bool = False,
        label: bool = True,
    ):
        self.path = os.fspath(path)
        self.backend = backend
        self.keys: Keys | None = None  # of a LevelDB, which would have to be read through for them again
        super().__init__(batch_size, transformer, random, owner, shuffle, label)

    def __str__(self) -> str:
        return f"'{self.path}'"

    def __len__(self) -> int:
        return len(self.open())

    def forget(self) -> None:
        super().forget()
        self._reader: Database | None = None
        self._layout: Layout | None = None

    @property
    def slow(self) -> bool:
        """Whether the first good record is an encoded image."""
        for item in range(MAX_IN_A_ROW):
            with suppress(BadRecordError):
                return bool(Datum.decode(self._load(item, 1)[0]).encoded)
        return False

    def open(self) -> Database:
        """The database, opened when first needed. Raises MissingFileError, DataError."""
        if self._process != os.getpid():  # forked: the database is our parent's
            self.forget()
        if self._reader is None:
            self._reader = open_database(self.path, self.backend, self.owner, self.keys)
            self.keys = getattr(self._reader, "keys", None)
            self._layout = _layout(self._reader.read(0, 1)[0])
        return self._reader

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        super().close()

    def make(self, item: int, into: Arrays) -> list[Bad]:
        self.open()
        data, layout = into["data"], self._layout
        stack = layout.stack(self._load(item, len(data))) if layout else None
        if stack is None:
            return super().make(item, into)
        pixels, labels = stack
        with self._about(item):
            self._check_shape(pixels.shape[1:], data.shape[1:])
        self.transformer.apply_batch(pixels, data, self._words(item, len(data)))
        if "label" in into:
            into["label"][...] = labels
        return []

    def _load(self, item: int, count: int) -> list[bytes]:
        reader = self.open()
        if not self.shuffle:
            return reader.read(item % len(reader), count)
        return reader.pick(self._order.numbers(item, count))

    def _decode(self, record: bytes) -> Example:
        datum = Datum.decode(record)
        return Example(
            self.transformer.image(datum), datum.label or 0 if datum.labels is None else datum.labels
        )

    def _name(self, number: int) -> str:
        return f"item '{self.open().key(number)}' (number {number}) of '{self.path}'"


def _layout(record: bytes) -> Layout | None:
    try:
        return Layout.of(record)
    except BadRecordError:
        return None


class DatumSource(Source):
    """Batches of a database of Datums, with arrays "data" and "label".

    Records come in the order of their keys, over and over, as in Caffe. ``shuffle`` is our addition: another
    order in each epoch.

    Raises:
        MissingFileError, DataError: the database, the mean file or the parameters are not usable.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        batch_size: int,
        transform: TransformParams | None = None,
        phase: Phase = Phase.TEST,
        random: RandomSource | None = None,
        owner: Owner = NOBODY,
        *,
        backend: str = "LMDB",
        shuffle: bool = False,
        label: bool = True,
        prefetch: int = 4,
        workers: int | None = None,
    ):
        transformer = Transformer(transform or TransformParams(), phase, owner)
        own = RandomSource(random.seed if random else -1)  # ours: a reseeded net does not change it
        batches = DatumBatches(path, batch_size, transformer, own, owner, backend, shuffle, label)
        super().__init__(batches, prefetch, workers)
