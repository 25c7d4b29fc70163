"""How well a net reads the digits of a database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffelite.data.datum import Datum
from caffelite.data.lmdb import LmdbReader
from caffelite.logs.run_dir import RunDir
from caffelite.params import Array
from caffelite.predict import Predictor

CLASSES = 10
_SCALE = 1 / 256  # as transform_param.scale of the net that is tested in training


@dataclass(frozen=True)
class Scores:
    """Images uint8 (N, H, W), their labels (N,), and the probabilities (N, classes) that a net gives them."""

    images: Array
    labels: Array
    probabilities: Array

    @property
    def answers(self) -> Array:
        """The most likely class of each image, (N,)."""
        answers: Array = np.argmax(self.probabilities, axis=1)
        return answers

    @property
    def misread(self) -> Array:
        """Numbers of the images with a wrong answer, the surest mistakes first."""
        wrong = np.flatnonzero(self.answers != self.labels)
        return wrong[np.argsort(-self.probabilities[wrong].max(axis=1), kind="stable")]

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.answers == self.labels))

    @property
    def confusion(self) -> Array:
        """How often images of each class (rows) get each answer (columns): int (classes, classes)."""
        matrix = np.zeros((CLASSES, CLASSES), int)
        np.add.at(matrix, (self.labels, self.answers), 1)
        return matrix


def score(net: Path, weights: Path, lmdb: Path) -> Scores:
    """Reads all images of an LMDB and lets a net (input ``data``, output ``prob``) name them."""
    images, labels = read_images(lmdb)
    predict = Predictor(net, weights)
    height, width = predict.model.graph.blobs["data"].shape[2:]
    x = _middle(images, height, width)[:, np.newaxis] * np.float32(_SCALE)
    return Scores(images, labels, predict(x)["prob"])


def _middle(images: Array, height: int, width: int) -> Array:
    """The middle of images (N, H, W), as a crop_size cuts it in tests."""
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    return images[:, top : top + height, left : left + width]


def read_images(lmdb: Path) -> tuple[Array, Array]:
    """Images (N, H, W) and labels (N,) of a database of images with one channel."""
    with LmdbReader(lmdb) as reader:
        data = [Datum.decode(record) for record in reader.read(0, len(reader))]
    return np.stack([datum.array()[0] for datum in data]), np.array([datum.label for datum in data])


def write_confusion(run_dir: RunDir, scores: Scores) -> None:
    """Writes ``confusion.csv``: a row for each true digit, a column for each answer."""
    lines = [",".join(["digit", *(f"read as {answer}" for answer in range(CLASSES))])]
    lines += [",".join(map(str, [digit, *row])) for digit, row in enumerate(scores.confusion)]
    run_dir.write("confusion.csv", ("\n".join(lines) + "\n").encode())
