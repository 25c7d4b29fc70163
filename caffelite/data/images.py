"""Batches of transformed images and their labels, wherever the images come from."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from caffelite.data.order import Order
from caffelite.data.owner import NOBODY, Owner
from caffelite.data.prefetch import Arrays
from caffelite.data.skipped import MAX_IN_A_ROW, Bad, BadRecordError, too_many_in_a_row
from caffelite.data.transform import Transformer
from caffelite.errors import DataError
from caffelite.random import RandomSource
from caffelite.types import Shape


class Example(NamedTuple):
    """What a record holds: an image (C, H, W) before any arithmetic, and a label: a number, or a vector of them."""

    image: np.ndarray
    label: Any


class ImageBatches(ABC):
    """Makes any batch of images, by the number of its first item: arrays "data" and, if wanted, "label".

    The first image of a batch decides its shape, as in Caffe; with ``crop_size`` all are alike.
    """

    def __init__(
        self,
        batch_size: int,
        transformer: Transformer,
        random: RandomSource,
        owner: Owner,
        shuffle: bool = False,
        label: bool = True,
    ):
        self.batch_size = batch_size
        self.transformer = transformer
        self.random = random
        self.owner = owner
        self.shuffle = shuffle
        self.label = label
        self.varying = not transformer.params.crop_size
        self.forget()

    @property
    def slow(self) -> bool:
        """Whether images are decoded."""
        return True

    def forget(self) -> None:
        """Forgets what is open, without closing it."""
        self._process = os.getpid()
        self._known_order: Order | None = None
        self._seen: tuple[int, Example, list[Bad]] | None = None  # the item that ``shapes`` looked at

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.forget()

    def close(self) -> None:
        """Closes files; they open again when needed."""
        self.forget()

    def identity(self) -> dict[str, Any]:
        """What must be the same when a run is resumed."""
        return {"records": len(self), "shuffle": self.shuffle}

    def shapes(self, item: int) -> dict[str, Shape]:
        """Shapes of data (N, C, H, W) and label (N,) or (N, labels) of the batch that begins with ``item``.

        Raises:
            DataError: an image that does not fit its transformation; too many bad ones in a row.
        """
        bad = list[Bad]()
        example = self._good(item, self._load(item, 1)[0], bad)
        self._seen = (item, example, bad)
        with self._about(item):
            image = self.transformer.output_shape(example.image.shape)
        shapes: dict[str, Shape] = {"data": (self.batch_size, *image)}
        return {**shapes, "label": (self.batch_size, *np.shape(example.label))} if self.label else shapes

    def make(self, item: int, into: Arrays) -> list[Bad]:
        """Fills ``into["data"]`` (N, C, h, w) and, if it is there, ``into["label"]`` from ``item`` on.

        Gives the records that were passed over because they are bad.

        Raises:
            DataError: an image of another shape, named; too many bad ones in a row.
        """
        data, labels = into["data"], into.get("label")
        words, bad = self._words(item, len(data)), list[Bad]()
        for i, record in enumerate(self._load(item, len(data))):
            example = self._good(item + i, record, bad)
            with self._about(item + i):
                self._check_shape(example.image.shape, data.shape[1:])
                if labels is not None:
                    _put_label(labels, i, example.label)
            self.transformer.apply(example.image, data[i], None if words is None else words[i])
        return bad

    # -- for subclasses ---------------------------------------------------------------------------------

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _load(self, item: int, count: int) -> list[Any]:
        """The records of so many items, as they are kept."""

    @abstractmethod
    def _decode(self, record: Any) -> Example:
        """What a record holds. Raises BadRecordError."""

    @abstractmethod
    def _name(self, number: int) -> str:
        """A record in words, for messages."""

    def _start(self) -> int:
        """Where in the data the run begins."""
        return 0

    def _words(self, item: int, count: int) -> np.ndarray | None:
        if not self.transformer.draws:
            return None
        return self.random.words(item, count, self.owner.name, "transform")

    @property
    def _order(self) -> Order:
        if self._process != os.getpid():  # forked: what is open is our parent's
            self.forget()
        if self._known_order is None:
            start = self._start()
            self._known_order = Order(len(self), self.shuffle, self.random, self.owner.name, start)
        return self._known_order

    @contextmanager
    def _about(self, item: int) -> Iterator[None]:
        """An error tells which record it was about."""
        try:
            yield
        except DataError as error:
            name = self._name(self._order.number(item))
            raise self.owner.error(f"{name}: {error}") from error

    def _check_shape(self, image: Shape, wanted: Shape) -> None:
        shape = self.transformer.output_shape(image)
        if shape != wanted:
            fix = (
                "give all images one size (new_height and new_width of ImageData do), or set crop_size; "
                "data_param { prefetch: 0 } lets batches differ"
            )
            raise NOBODY.error(f"expected an image of shape {wanted} like the first one", shape, fix)

    def _good(self, item: int, record: Any, bad: list[Bad]) -> Example:
        """The example of an item: of its own record, or of the next good one."""
        if self._seen is not None and self._seen[0] == item:
            _, example, passed = self._seen
            self._seen = None
            bad += passed
            return example
        for ahead in range(MAX_IN_A_ROW):
            try:
                return self._decode(self._load(item + ahead, 1)[0] if ahead else record)
            except BadRecordError as error:
                number = self._order.number(item + ahead)
                bad.append(Bad(number, f"{self._name(number)}: {error}"))
        raise too_many_in_a_row("records", bad, self.owner)


def _put_label(labels: np.ndarray, i: int, label: Any) -> None:
    if np.shape(label) != labels.shape[1:]:
        wanted = labels.shape[1] if labels.ndim > 1 else 1
        raise NOBODY.error(f"expected {wanted} labels like the first record", np.size(label))
    labels[i] = label
