"""``.solverstate``: what a solver needs beside the weights to go on, in the binary format.

Our own additions (random state, data positions, loss window) travel in the same file under a field number
that Caffe does not know: BVLC Caffe reads such a file as if they were not there.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from caffelite.atomic import atomic_write
from caffelite.errors import WeightsError
from caffelite.weights import kinds, wire
from caffelite.weights.blob import Buffer, decode_blob, encode_blob
from caffelite.weights.caffemodel import MAX_MESSAGE_BYTES, message_field, too_large
from caffelite.weights.kinds import StrPath
from caffelite.weights.wire import Field, Reader

_ITER, _LEARNED_NET, _HISTORY, _CURRENT_STEP, _EXTRA = 1, 2, 3, 4, 5000


@dataclass
class SolverState:
    """A solver between two iterations.

    Attributes:
        iter: updates done.
        learned_net: path of the weights as the writer knew it, relative to its working directory; may be "".
        current_step: step that the "multistep" policy has reached.
        history: float32 arrays of the update rule, one or two for each learnable parameter.
        extra: what caffelite adds; anything that JSON can hold. Empty in a file by BVLC Caffe.
        legacy: for each history array, whether its shape came as num, channels, height, width; set by the
            reader.
    """

    iter: int
    learned_net: str = ""
    current_step: int = 0
    history: list[npt.NDArray[np.float32]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    legacy: list[bool] = field(default_factory=list)


def read_solverstate(path: StrPath) -> SolverState:
    """Reads a binary solver state, by BVLC Caffe, a fork or us.

    Raises:
        MissingFileError: there is no such file.
        WeightsError: the file is of another kind (a caffemodel, say), damaged, or cut short.
    """
    kinds.require(path, kinds.SOLVERSTATE)
    state = SolverState(0)
    with kinds.open_for_reading(path, "solver state") as file:
        reader = Reader(file, path)
        for item in reader.fields():
            _read_field(reader, item, state)
    return state


def write_solverstate(path: StrPath, state: SolverState) -> None:
    """Writes a binary solver state that BVLC Caffe reads. The file appears whole or not at all.

    Raises:
        SnapshotError: it cannot be written, or would be larger than 2 GiB.
        TypeError: ``extra`` holds something that JSON cannot.
    """
    start = wire.integer(_ITER, state.iter) + wire.string(_LEARNED_NET, os.fsencode(state.learned_net))
    buffers: list[Buffer] = [start]
    for array in state.history:
        buffers += message_field(_HISTORY, encode_blob(array))
    buffers.append(wire.integer(_CURRENT_STEP, state.current_step))
    if state.extra:
        buffers.append(wire.string(_EXTRA, encode_extra(state.extra)))
    if sum(map(len, buffers)) > MAX_MESSAGE_BYTES:
        raise too_large(path, "its history")
    with atomic_write(path) as file:
        for buffer in buffers:
            file.write(buffer)


def encode_extra(extra: dict[str, Any]) -> bytes:
    """Our additions as bytes. Floats come back bit for bit."""
    return json.dumps(extra, separators=(",", ":")).encode()


def decode_extra(data: bytes, path: StrPath) -> dict[str, Any]:
    """The inverse of :func:`encode_extra`.

    Raises:
        WeightsError: the bytes are not what that wrote.
    """
    try:
        extra = json.loads(data)
    except ValueError as error:
        raise WeightsError(f"'{path}': expected caffelite's part to be JSON, got {error}") from error
    if not isinstance(extra, dict):
        raise WeightsError(f"'{path}': expected caffelite's part to be an object, got {extra!r:.60}")
    return extra


def _read_field(reader: Reader, item: Field, state: SolverState) -> None:
    tag = (item.number, item.wire_type)
    if tag == (_ITER, wire.VARINT):
        state.iter = wire.signed(item.value)
    elif tag == (_LEARNED_NET, wire.BYTES):
        state.learned_net = os.fsdecode(reader.read(item.start, item.end))
    elif tag == (_HISTORY, wire.BYTES):
        blob = decode_blob(reader, item.start, item.end, f"history blob {len(state.history)}")
        state.history.append(blob.data)
        state.legacy.append(blob.legacy)
    elif tag == (_CURRENT_STEP, wire.VARINT):
        state.current_step = wire.signed(item.value)
    elif tag == (_EXTRA, wire.BYTES):
        state.extra = decode_extra(reader.read(item.start, item.end), reader.path)
