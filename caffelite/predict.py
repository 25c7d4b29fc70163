"""Inference made simple: NumPy arrays in, a dict of arrays out.

predict = caffelite.load("deploy.prototxt", "weights.caffemodel")
probabilities = predict(images)["prob"]
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caffelite.errors import UsageError
from caffelite.loading import LoadReport
from caffelite.model import Model
from caffelite.params import Array
from caffelite.prototxt.source import NetSource
from caffelite.types import Phase


class Predictor:
    """A net as a function. Calls may come from several threads; calls to one Predictor take turns.

    ``report`` says which layers the weights filled. Memory is reused between layers, so only outputs can be had;
    name further blobs in ``outputs`` to get them too. ``lenient``: see Model.
    """

    def __init__(
        self,
        net: str | Path | NetSource,
        weights: str | Path | None = None,
        *,
        outputs: Sequence[str] = (),
        engine: str = "cpu",
        precision: str = "float32",
        seed: int = -1,
        lenient: bool | None = None,
    ):
        self.model = Model(
            net,
            Phase.TEST,
            engine=engine,
            precision=precision,
            seed=seed,
            backward=False,
            observe=bool(outputs),
            lenient=lenient,
        )
        self.report: LoadReport | None = None if weights is None else self.model.load_weights(weights)
        self.outputs = [*self.model.graph.outputs, *outputs]
        for name in outputs:
            self.model.blob(name)  # an unknown name is told now
        self._lock = threading.Lock()

    @property
    def inputs(self) -> list[str]:
        """Names of the net's inputs, in order."""
        return self.model.graph.inputs

    def __call__(self, *arrays: npt.ArrayLike, **named: npt.ArrayLike) -> dict[str, Array]:
        """Outputs for inputs of any batch size (and, where the net allows it, any image size).

        Inputs go by position or by name; each has the axes of its blob, and may leave out the first one for a
        single item. Returns new C-contiguous arrays. Raises UsageError for wrong names or axes, and for what are no
        real numbers.
        """
        given = self._named(arrays, named)
        with self._lock:
            self.model.reshape({name: array.shape for name, array in given.items()})
            for name, array in given.items():
                np.copyto(self.model.input(name), array, casting="unsafe")
            self.model.forward()
            return {name: np.array(self.model.blob(name), order="C") for name in self.outputs}

    def _named(self, arrays: Sequence[Any], named: dict[str, Any]) -> dict[str, Array]:
        given = dict(zip(self.inputs, arrays, strict=False)) | named
        if (
            len(arrays) > len(self.inputs)
            or set(given) != set(self.inputs)
            or len(given) != len(arrays) + len(named)
        ):
            raise UsageError(
                f"net '{self.model.name}': expected inputs {self.inputs}, got {len(arrays)} by position and {sorted(named)}"
            )
        return {name: self._shaped(name, np.asarray(value)) for name, value in given.items()}

    def _shaped(self, name: str, array: Array) -> Array:
        if array.dtype.kind not in "biuf":
            raise UsageError(f"input '{name}': expected real numbers, got an array of {array.dtype}")
        ndim = len(self.model.graph.blobs[name].shape)
        if array.ndim == ndim - 1:
            array = array[np.newaxis]
        if array.ndim != ndim:
            raise UsageError(
                f"input '{name}': expected {ndim} axes as in {self.model.graph.blobs[name].shape}, got {array.shape}"
            )
        return array


def load(
    net: str | Path | NetSource,
    weights: str | Path | None = None,
    *,
    outputs: Sequence[str] = (),
    engine: str = "cpu",
    precision: str = "float32",
    seed: int = -1,
    lenient: bool | None = None,
) -> Predictor:
    """A Predictor from a prototxt and a weights file; options are those of :class:`Predictor`."""
    return Predictor(
        net, weights, outputs=outputs, engine=engine, precision=precision, seed=seed, lenient=lenient
    )
