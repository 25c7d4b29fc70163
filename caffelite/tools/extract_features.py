"""Blobs of a net, computed for its data and written into databases: Caffe's extract_features."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.data.datum import Datum
from caffelite.data.writer import DatabaseWriter, open_writer
from caffelite.errors import NetError, UsageError
from caffelite.logs.log import get_log
from caffelite.model import Model
from caffelite.prototxt.suggest import suggestion
from caffelite.tools.progress import Progress
from caffelite.types import Phase

_EVERY = 1000
_SOURCE = "extract_features.cpp"
_AXES = 4  # items, channels, height, width


def extract_features(
    weights: str | Path,
    net: str | Path,
    blobs: Sequence[str],
    databases: Sequence[str | Path],
    batches: int,
    backend: str = "LMDB",
    **options: Any,
) -> int:
    """Runs a net on ``batches`` batches of its own data; gives the number of items written.

    Each blob goes into the database at its place in the list: one record an item, with ``float_data``, under
    its number with 10 digits. The net is in phase TEST; ``options``: ``engine``, ``precision`` and ``seed``
    of the Model.

    Raises:
        UsageError: not as many databases as blobs, one for two, fewer than one batch, another backend.
        NetError, DataError: what loading net and weights raises, a net without data, a blob that there is
            not; a database exists.
    """
    if not blobs or len(blobs) != len(databases):
        raise UsageError(
            f"expected one database for each blob, got {len(blobs)} blobs and {len(databases)} databases"
        )
    if len({os.path.realpath(path) for path in databases}) < len(databases):
        raise UsageError(
            f"expected a database of its own for each blob, got {', '.join(map(str, databases))}"
        )
    if batches < 1:
        raise UsageError(f"number of batches: expected at least 1, got {batches}")
    model = Model(net, Phase.TEST, backward=False, **options)
    with ExitStack() as stack:
        stack.callback(model.close)
        _require_data(model)
        model.load_weights(weights)
        for blob in blobs:
            _check(model, blob)
        outputs = [_Output(model, blob, stack.enter_context(open_writer(path, backend)), path)
                   for blob, path in zip(blobs, databases, strict=True)]  # fmt: skip
        _say("Extracting Features", 134)
        for _ in range(batches):
            model.forward()
            for output in outputs:
                output.take()
        for output in outputs:
            output.progress.end()
    _say("Successfully extracted the features!", 180)
    return outputs[0].progress.count


class _Output:
    """A blob and the database that its items go into."""

    def __init__(self, model: Model, blob: str, writer: DatabaseWriter, path: str | Path):
        _say(f"Opening dataset {path}", 122)
        self.model, self.blob, self.writer = model, blob, writer
        text = f"Extracted features of {{}} query images for feature blob {blob}"
        self.progress = Progress(_EVERY, f"{_SOURCE}:161", text)

    def take(self) -> None:
        """Writes the items of the batch that the net has just computed."""
        array = np.ascontiguousarray(self.model.blob(self.blob), np.float32)
        shape = array.shape + (1,) * (_AXES - array.ndim)
        for item in array.reshape(shape):
            C, H, W = item.shape
            self.writer.put(Datum(C, H, W, float_data=item.ravel()), key=f"{self.progress.count:010d}")
            self.progress.step()


def _require_data(model: Model) -> None:
    """Raises NetError for a net that waits for data from outside: its features would be those of zeros."""
    if inputs := model.graph.inputs:
        raise NetError(
            f"net '{model.name}': expected a data layer, got inputs {', '.join(inputs)}\n"
            "  Fix: put a layer such as Data or ImageData in their place"
        )


def _check(model: Model, blob: str) -> None:
    known = list(model.graph.blobs)
    if blob not in known:
        near = suggestion(blob, known) or f"; there are {', '.join(known)}"
        raise NetError(f"Unknown feature blob name '{blob}' in the network '{model.name}'{near}")
    if len(model.graph.blobs[blob].shape) > _AXES:
        raise NetError(
            f"blob '{blob}': expected at most {_AXES} axes, got shape {model.graph.blobs[blob].shape}: "
            "a record holds channels, height and width\n  Fix: put a Flatten layer behind it and name its top"
        )


def _say(text: str, line: int) -> None:
    get_log().emit("message", text, f"{_SOURCE}:{line}")
