"""The classes of one picture: Caffe's example cpp_classification."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.data import opencv
from caffelite.data.mean import read_mean
from caffelite.errors import DataError, NetError
from caffelite.predict import Predictor
from caffelite.prototxt.binary import read_bytes

_BEST = 5


class Classification:
    """A net with the names of its classes.

    The picture is resized to the net's input, and the mean colour of the mean image taken from it.

    ``options``: ``engine``, ``precision`` and ``seed`` of the Predictor.

    Raises:
        NetError: the net has not one input of 1 or 3 channels, or not one output.
        MissingFileError, DataError: files that are missing, damaged, or do not fit each other.
    """

    def __init__(
        self, net: str | Path, weights: str | Path, mean: str | Path, labels: str | Path, **options: Any
    ):
        self.predictor = Predictor(net, weights, **options)
        self.input = self.predictor.model.blob(_one("input", self.predictor.inputs)).shape
        if len(self.input) != 4 or self.input[1] not in (1, 3):
            raise NetError(f"Input layer should have 1 or 3 channels, got shape {self.input}")
        self.output = _one("output", self.predictor.outputs)
        image = read_mean(mean)
        if len(image) != self.input[1]:
            raise DataError(
                f"mean '{mean}': Number of channels of mean file doesn't match input layer: {len(image)}, "
                f"not {self.input[1]}"
            )
        self.mean = image.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
        lines = read_bytes(labels, "labels").decode("utf-8", "replace").removesuffix("\n").split("\n")
        self.labels = [line.removesuffix("\r") for line in lines]
        outputs = self.predictor.model.blob(self.output)[0].size
        if len(self.labels) != outputs:
            raise DataError(
                f"labels '{labels}': Number of labels is different from the output layer dimension: "
                f"{len(self.labels)}, not {outputs}"
            )

    def classify(self, path: str | Path, best: int = _BEST) -> list[tuple[str, float]]:
        """The most likely classes of a picture and their probabilities, best first.

        Raises:
            MissingFileError, DataError: no such file, or one that is no image.
        """
        _, C, H, W = self.input
        data = read_bytes(path, "image")
        try:
            image = opencv.decode(data, color=C == 3)
        except DataError as error:
            raise DataError(f"Unable to decode image {path}: {error}") from error
        x = opencv.resize(image, H, W).astype(np.float32) - self.mean[:, None, None]
        scores = self.predictor(x)[self.output].ravel()
        order = np.argsort(-scores, kind="stable")[:best]
        return [(self.labels[number], float(scores[number])) for number in order]


def prediction_lines(path: str | Path, predictions: list[tuple[str, float]]) -> Iterator[str]:
    """The lines that Caffe's example prints."""
    yield f"---------- Prediction for {path} ----------"
    for label, score in predictions:
        yield f'{score:.4f} - "{label}"'


def _one(what: str, names: list[str]) -> str:
    if len(names) != 1:
        raise NetError(f"Network should have exactly one {what}, got {', '.join(names) or 'none'}")
    return names[0]
