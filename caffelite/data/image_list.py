"""Batches of images that a text file lists: the ImageData layer's source."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from caffelite.data import opencv
from caffelite.data.images import Example, ImageBatches
from caffelite.data.keys import Keys
from caffelite.data.lists import NO_COMMA, open_list
from caffelite.data.owner import NOBODY, Owner
from caffelite.data.transform import Transformer
from caffelite.random import RandomSource

_log = logging.getLogger(__name__)

_INTEGER = re.compile(rb"[+-]?\d+")  # what C's atoi reads
_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class ImageList:
    """The images of a list. ``labels``: (N,) int64, or (N, L) float32 where vectors were asked for."""

    file: str
    paths: Keys
    lines: np.ndarray  # where in the file each one stands, from 1
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, number: int) -> str:
        """Where an image is."""
        return os.fsdecode(self.paths.key(number))


@dataclass(frozen=True)
class Reading:
    """How image files become arrays: three channels (B, G, R) or grey, and resized unless ``height`` is 0."""

    color: bool = True
    height: int = 0
    width: int = 0
    root: str = ""  # put before each path as it is

    def read(self, path: str) -> np.ndarray:
        """An image (C, H, W). Raises BadRecordError."""
        image = opencv.read(self.root + path, self.color)
        return opencv.resize(image, self.height, self.width) if self.height else image


def read_image_list(path: str, label_dim: int = 0, owner: Owner = NOBODY) -> ImageList:
    """Reads lines ``path label``, where a path may contain blanks. Empty lines are passed over.

    A label is read as C's atoi does, as Caffe reads it: the integer at the start of the last word, otherwise 0, which
    is worth a warning. With ``label_dim`` L each line ends with L numbers instead, whole or not.

    Raises:
        MissingFileError: there is no such file.
        DataError: it lists nothing, a label has more than 32 bits, or a line has no ``label_dim`` numbers.
    """
    with open_list(path, "list", owner) as file:
        lines = [(number, line) for number, text in enumerate(file, 1) if (line := text.strip())]
    if not lines:
        raise owner.error(f"expected lines 'path label' in '{path}'", "none")
    numbers = np.array([number for number, _ in lines])
    words = [line.rsplit(None, label_dim or 1) for _, line in lines]
    if label_dim:
        labels = _vectors(words, numbers, label_dim, path, owner)
    else:
        labels = _integers(words, numbers, path, owner)
    return ImageList(path, Keys(first for first, *_ in words), numbers, labels)


def _integers(words: list[list[bytes]], numbers: np.ndarray, path: str, owner: Owner) -> np.ndarray:
    found = [_INTEGER.match(word[1]) if len(word) > 1 else None for word in words]
    labels = [int(match[0]) if match else 0 for match in found]
    large = next((i for i, label in enumerate(labels) if not _INT32.min <= label <= _INT32.max), None)
    if large is not None:
        expected = f"expected a label of at most 32 bits in line {numbers[large]} of '{path}'"
        raise owner.error(expected, labels[large])
    odd = [
        i
        for i, (match, word) in enumerate(zip(found, words, strict=True))
        if not match or match[0] != word[-1]
    ]
    if odd:
        line = b" ".join(words[odd[0]]).decode("utf-8", "backslashreplace")
        fix = NO_COMMA if "," in line else "label_dim: 1 keeps fractions"
        _log.warning("%s", owner.message(
            f"{len(odd)} of {len(words)} lines of '{path}' do not end with an integer, the first is line {numbers[odd[0]]}, "
            f"'{line}': their labels are cut to integers, or 0, as in Caffe", fix=fix,
        ))  # fmt: skip
    elif words[0][0].endswith(b","):
        name = words[0][0].decode("utf-8", "backslashreplace")
        text = f"the first path of '{path}' is '{name}', with a comma at its end"
        _log.warning("%s", owner.message(text, fix=NO_COMMA))
    return np.array(labels, np.int64)


def _vectors(
    words: list[list[bytes]], numbers: np.ndarray, label_dim: int, path: str, owner: Owner
) -> np.ndarray:
    labels = np.empty((len(words), label_dim), np.float32)
    for i, (_, *values) in enumerate(words):
        try:
            labels[i] = np.array(values, np.float32).reshape(label_dim)
        except ValueError as error:
            text = b" ".join(words[i]).decode("utf-8", "backslashreplace")
            expected = f"expected a path and {label_dim} numbers in line {numbers[i]} of '{path}'"
            raise owner.error(
                expected, f"'{text}'", "label_dim is the number of labels of each image"
            ) from error
    return labels


class ListBatches(ImageBatches):
    """Makes any batch of the images of a list; ``rand_skip``: fewer than so many are left out at the
    start of the run."""

    def __init__(
        self,
        images: ImageList,
        reading: Reading,
        batch_size: int,
        transformer: Transformer,
        random: RandomSource,
        owner: Owner = NOBODY,
        shuffle: bool = False,
        label: bool = True,
        rand_skip: int = 0,
    ):
        self.images = images
        self.reading = reading
        self.rand_skip = rand_skip
        super().__init__(batch_size, transformer, random, owner, shuffle, label)
        self.varying = self.varying and not reading.height

    def __str__(self) -> str:
        return f"'{self.images.file}'"

    def __len__(self) -> int:
        return len(self.images)

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "rand_skip": self.rand_skip}

    def _load(self, item: int, count: int) -> list[int]:
        numbers: list[int] = self._order.numbers(item, count).tolist()
        return numbers

    def _start(self) -> int:
        if not self.rand_skip:
            return 0
        words = self.random.words(0, 1, self.owner.name, "rand_skip")
        return int(words[0, 0]) % min(self.rand_skip, len(self))

    def _decode(self, record: int) -> Example:
        return Example(self.reading.read(self.images.path(record)), self.images.labels[record])

    def _name(self, number: int) -> str:
        path = self.reading.root + self.images.path(number)
        return f"image '{path}' (line {self.images.lines[number]} of '{self.images.file}')"
