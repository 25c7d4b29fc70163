"""Formats that hold arrays by name alone: blob ``i`` of layer ``conv1`` is the array ``conv1.i``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from caffelite.errors import WeightsError
from caffelite.weights.blob import Blob
from caffelite.weights.caffemodel import MAX_BLOBS, LayerWeights
from caffelite.weights.kinds import StrPath

NAMING = "name the arrays '<layer>.<index>', such as 'conv1.0' and 'conv1.1'"


def named_arrays(layers: Sequence[LayerWeights]) -> Iterator[tuple[str, Blob]]:
    """The arrays of layers with their names, in order."""
    for layer in layers:
        for index, blob in enumerate(layer.blobs):
            if blob is not None:
                yield f"{layer.name}.{index}", blob


def place(path: StrPath, layers: dict[str, LayerWeights], name: str, array: Blob) -> None:
    """Puts an array into its layer, which is made if need be. Raises WeightsError for a name of another form."""
    layer, _, index = name.rpartition(".")
    if not layer or not index.isdecimal() or int(index) >= MAX_BLOBS:
        message = f"'{path}': expected arrays named '<layer>.<index>', got '{name}'"
        raise WeightsError(f"{message}\n  Fix: {NAMING}")
    blobs = layers.setdefault(layer, LayerWeights(layer, "", [], [])).blobs
    blobs += [None] * (int(index) + 1 - len(blobs))
    blobs[int(index)] = array


def finish(layers: Iterable[LayerWeights]) -> list[LayerWeights]:
    """The layers when all arrays are in place."""
    result = list(layers)
    for layer in result:
        layer.partial = any(blob is None for blob in layer.blobs)
        layer.legacy += [False] * (len(layer.blobs) - len(layer.legacy))
        layer.diffs = [None] * len(layer.blobs)
    return result
