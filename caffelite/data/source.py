"""What a data layer sees of its data: the next batch, and where in the data it stands."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from caffelite.data.database import Database, open_database
from caffelite.data.datum import Datum, Layout
from caffelite.data.owner import NOBODY, Owner
from caffelite.data.prefetch import Feed, InlineFeed, Prefetcher, choose_workers
from caffelite.data.transform import Transformer, TransformParams
from caffelite.errors import DataError
from caffelite.random import RandomSource
from caffelite.types import Phase, Shape

Arrays = dict[str, np.ndarray]


class BatchSource(Protocol):
    """Where a data layer takes its batches from."""

    def shapes(self) -> dict[str, Shape]:
        """Shapes of the arrays that the coming ``next`` fills."""
        ...

    def next(self, into: Arrays) -> None:
        """Fills float arrays with the next batch and moves on by it. Raises DataError."""
        ...

    def state(self) -> dict[str, Any]:
        """Where the data stands after the last ``next``, for JSON; what is only prefetched counts not."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from there, bit for bit. Raises DataError if the data is not the same."""
        ...

    def close(self) -> None:
        """Frees files and ends workers. May be called twice."""
        ...


class DatumBatches:
    """Makes any batch of a database of Datums, by the number of its first item in the whole run.

    Item i is record ``i mod n`` of epoch ``i div n``; when shuffling, each epoch has its own order. Copies of
    this (pickles, in other processes) make the same batches.
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
    ):
        self.path = os.fspath(path)
        self.batch_size = batch_size
        self.transformer = transformer
        self.random = random
        self.owner = owner
        self.backend = backend
        self.shuffle = shuffle
        self.forget()

    def forget(self) -> None:
        """Forgets what is open, without closing it."""
        self._process = os.getpid()
        self._reader: Database | None = None
        self._layout: Layout | None = None
        self._order = lru_cache(maxsize=2)(self._new_order)  # a batch may span two epochs

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.forget()

    def open(self) -> Database:
        """The database, opened when first needed. Raises MissingFileError, DataError."""
        if self._process != os.getpid():  # forked: the database is our parent's
            self.forget()
        if self._reader is None:
            self._reader = open_database(self.path, self.backend, self.owner)
            self._layout = self._understand(0, Layout.of, self._reader.read(0, 1)[0])
        return self._reader

    def close(self) -> None:
        """Closes the database; it opens again when needed."""
        if self._reader is not None:
            self._reader.close()
        self.forget()

    def first(self, item: int = 0) -> tuple[Shape, bool]:
        """(C, H, W) of an item after transformation, and whether it is an encoded image. Raises DataError."""
        datum = self._understand(item, Datum.decode, self._records(item, 1)[0])
        image = self._understand(item, self.transformer.image, datum)
        return self._understand(item, self.transformer.output_shape, image.shape), bool(datum.encoded)

    def make(self, item: int, into: Arrays) -> None:
        """Fills ``into["data"]`` (N, C, h, w) and, if it is there, ``into["label"]`` (N,) from ``item`` on.

        Raises:
            DataError: a record that is broken or of another shape; names its key.
        """
        data = into["data"]
        records = self._records(item, len(data))
        words = self._words(item, len(data))
        stack = self._layout.stack(records) if self._layout else None
        if stack is None:
            labels: Any = self._one_by_one(item, records, data, words)
        else:
            pixels, labels = stack
            self._understand(item, self._check_shape, pixels.shape[1:], data.shape[1:])
            self.transformer.apply_batch(pixels, data, words)
        if "label" in into:
            into["label"][...] = labels

    def _one_by_one(
        self, item: int, records: list[bytes], data: np.ndarray, words: np.ndarray | None
    ) -> list[int]:
        labels = []
        for i, record in enumerate(records):
            datum = self._understand(item + i, Datum.decode, record)
            image = self._understand(item + i, self.transformer.image, datum)
            self._understand(item + i, self._check_shape, image.shape, data.shape[1:])
            self.transformer.apply(image, data[i], None if words is None else words[i])
            labels.append(datum.label or 0)
        return labels

    def _check_shape(self, image: Shape, wanted: Shape) -> None:
        shape = self.transformer.output_shape(image)
        if shape != wanted:
            fix = "give all images one size when the database is made, or set crop_size"
            raise NOBODY.error(f"expected an image of shape {wanted} like the first one", shape, fix)

    def _understand(self, item: int, step: Any, *arguments: Any) -> Any:
        """Calls ``step``; an error of it tells which record it was about."""
        try:
            return step(*arguments)
        except DataError as error:
            number = int(self._numbers(item, 1)[0])
            key = self.open().key(number)
            raise self.owner.error(f"item '{key}' (number {number}) of '{self.path}': {error}") from error

    def _records(self, item: int, count: int) -> list[bytes]:
        reader = self.open()
        if not self.shuffle:
            return reader.read(item % len(reader), count)
        return reader.pick(self._numbers(item, count))

    def _numbers(self, item: int, count: int) -> np.ndarray:
        """The records that the items stand for."""
        epochs, numbers = np.divmod(np.arange(item, item + count), len(self.open()))
        if self.shuffle:
            for epoch in range(epochs[0], epochs[-1] + 1):
                numbers[epochs == epoch] = self._order(epoch)[numbers[epochs == epoch]]
        return numbers

    def _new_order(self, epoch: int) -> np.ndarray:
        return self.random.permutation(len(self.open()), self.owner.name, "shuffle", epoch)

    def _words(self, item: int, count: int) -> np.ndarray | None:
        if not self.transformer.draws:
            return None
        return self.random.words(item, count, self.owner.name, "transform")


class DatumSource:
    """Batches of a database of Datums: the Data layer's :class:`BatchSource`, with arrays "data" and "label".

    Records come in the order of their keys, over and over, as in Caffe. ``shuffle`` is our addition: another
    order in each epoch. Shapes are those of the first record; with ``batch_size`` 1 and no crop, of each in
    turn.

    prefetch:  batches made ahead (Caffe: 4) where worker processes make them; 0 keeps everything in line.
    workers:   processes; None decides by what a batch costs (:func:`choose_workers`), 0 is none.

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
        if batch_size < 1:
            raise owner.error("expected batch_size >= 1", batch_size)
        transformer = Transformer(transform or TransformParams(), phase, owner)
        random = RandomSource(random.seed if random else -1)  # ours: a reseeded net does not change it
        self._batches = DatumBatches(path, batch_size, transformer, random, owner, backend, shuffle)
        self._with_label = label
        image, encoded = self._batches.first()
        varying = batch_size == 1 and not transformer.params.crop_size
        self._fixed = None if varying else self._batch_shapes(image)
        values = batch_size * int(np.prod(image))
        self._prefetch = prefetch
        self._workers = 0 if self._fixed is None else choose_workers(values, encoded, prefetch, workers)
        self._item = 0
        self._feed: Feed | None = None
        self._process = os.getpid()

    def __len__(self) -> int:
        """Records in the database."""
        return len(self._batches.open())

    @property
    def workers(self) -> int:
        """Worker processes that make the batches; 0: they are made in line."""
        return self._workers

    def shapes(self) -> dict[str, Shape]:
        """Shapes of the coming batch: data (N, C, H, W) and, if wanted, label (N,)."""
        return self._fixed or self._batch_shapes(self._batches.first(self._item)[0])

    def next(self, into: Arrays) -> None:
        """Fills ``into`` with the next batch; its arrays have the shapes that ``shapes`` tells.

        Raises:
            DataError: a broken or unfitting record (its key is named), or a worker that was killed.
        """
        if self._process != os.getpid():  # forked: the workers are our parent's
            self._process, self._feed = os.getpid(), None
        if self._feed is None:
            self._feed = self._start()
        self._feed.next(into)
        self._item = self._feed.position

    def state(self) -> dict[str, Any]:
        """Position, seed and what they are valid for."""
        batches = self._batches
        return {
            "item": self._item,
            "records": len(self),
            "shuffle": batches.shuffle,
            "seed": batches.random.seed,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on at a saved position with the saved seed.

        Raises:
            DataError: the database has another number of records, or ``shuffle`` was changed.
        """
        now = self.state()
        for name in ("records", "shuffle"):
            if state[name] != now[name]:
                expected = f"expected '{self._batches.path}' with {name} = {state[name]} as in the snapshot"
                fix = "resume with the same data, or fine-tune from the weights alone"
                raise self._batches.owner.error(expected, now[name], fix)
        self.close()
        self._batches.random = RandomSource(state["seed"])
        self._item = state["item"]

    def close(self) -> None:
        """Ends workers and closes the database; the position stays."""
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

    def _batch_shapes(self, image: Shape) -> dict[str, Shape]:
        N = self._batches.batch_size
        shapes: dict[str, Shape] = {"data": (N, *image)}
        return {**shapes, "label": (N,)} if self._with_label else shapes
