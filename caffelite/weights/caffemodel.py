"""``.caffemodel``: a binary NetParameter, read and written without holding a second copy of its arrays.

Only layer names, types and blobs are looked at. Field numbers of layer parameters clash between Caffe's
forks, so everything else is left alone: a file is never refused for a parameter that this program does not
know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy.typing as npt

from caffelite.atomic import atomic_write
from caffelite.errors import SnapshotError, WeightsError
from caffelite.weights import kinds, wire
from caffelite.weights.blob import Blob, Buffer, decode_blob, encode_blob
from caffelite.weights.kinds import StrPath
from caffelite.weights.old_types import v0_type, v1_type
from caffelite.weights.wire import Field, Reader

MAX_MESSAGE_BYTES = 2**31 - 1
"""The most that any protobuf parser accepts, BVLC Caffe's too."""

MAX_BLOBS = 1000
"""More blobs than any layer has; a larger index in a file that names blobs by index is damage."""

_NET_NAME, _NET_LAYERS_V1, _NET_LAYER = 1, 2, 100
_LAYER_BLOBS = 7


class _Layout(NamedTuple):
    """The field numbers of one generation of layer messages; ``nested`` holds the generation before."""

    name: int
    type: int
    blobs: int
    nested: int = 0
    bottoms: int = -1
    tops: int = -2


_LAYOUTS = {
    _NET_LAYER: _Layout(1, 2, _LAYER_BLOBS, bottoms=3, tops=4),
    _NET_LAYERS_V1: _Layout(4, 5, 6, nested=1, bottoms=2, tops=3),
}
_V0 = _Layout(1, 2, 50)


@dataclass
class LayerWeights:
    """The weights of one layer of a file.

    Attributes:
        name: layer name; what weights are matched by.
        type: layer type in today's words ("Convolution"); "" where the format has none (HDF5).
        blobs: float32 arrays in Caffe's order (weights, bias, ...). ``None`` only where ``partial``.
        legacy: for each blob, whether its shape was given as num, channels, height, width: compare it with
            :func:`caffelite.weights.shapes_match`.
        partial: blobs may be absent because another layer owns them (HDF5 stores shared parameters once).
        diffs: gradients, one for each blob, ``None`` where the file has none or they were not asked for.
        bottoms, tops: names of blobs, where the file has them (today's binary format).
    """

    name: str
    type: str
    blobs: list[Blob | None]
    legacy: list[bool]
    partial: bool = False
    diffs: list[Blob | None] = field(default_factory=list)
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LayerRecord:
    """One layer on its way into a file.

    Attributes:
        name: layer name.
        message: the serialized LayerParameter, without its ``blobs``.
        blobs: the arrays, in Caffe's shapes and order; shared ones too.
        diffs: gradients to store as well (``snapshot_diff``), one for each blob.
        owned: for each blob, whether this layer owns it; HDF5 stores a shared blob at its owner alone. None:
            all.
    """

    name: str
    message: bytes
    blobs: Sequence[npt.NDArray[Any]] = ()
    diffs: Sequence[npt.NDArray[Any]] | None = None
    owned: Sequence[bool] | None = None


def read_caffemodel(path: StrPath, *, diffs: bool = False) -> list[LayerWeights]:
    """All layers of a binary model in file order, those without blobs included; formats V0, V1 and today's.

    Memory: the arrays, plus a few kilobytes. ``diffs`` asks for the gradients that ``snapshot_diff`` stores.

    Raises:
        MissingFileError: there is no such file.
        WeightsError: the file is of another kind, damaged, or cut short.
    """
    kinds.require(path, kinds.CAFFEMODEL)
    with kinds.open_for_reading(path, "weights file") as file:
        reader = Reader(file, path)
        layers: list[LayerWeights] = []
        numbers: set[int] = set()
        for item in _layer_fields(reader, layers):
            numbers.add(item.number)
            layers.append(_read_layer(reader, item, _LAYOUTS[item.number], diffs))
        if len(numbers) > 1:
            raise WeightsError(f"'{reader.path}': expected either 'layer' or 'layers' (V1) fields, got both")
        return layers


def write_caffemodel(path: StrPath, net_name: str, layers: Iterable[LayerRecord]) -> None:
    """Writes a binary model that BVLC Caffe reads: the net's ``name`` and its layers with their blobs as
    float32.

    ``layers`` may be a generator; one layer at a time is held. The file appears whole or not at all.

    Raises:
        SnapshotError: it cannot be written, or would be larger than the 2 GiB that a protobuf message may
            have.
    """
    with atomic_write(path) as file:
        start = wire.string(_NET_NAME, net_name)
        file.write(start)
        total = len(start)
        for record in layers:
            buffers = message_field(_NET_LAYER, _layer_buffers(record))
            total += sum(map(len, buffers))
            if total > MAX_MESSAGE_BYTES:
                raise too_large(path, f"layer '{record.name}'")
            for buffer in buffers:
                file.write(buffer)


def message_field(number: int, buffers: list[Buffer]) -> list[Buffer]:
    """The buffers of a message as a field of the message around it."""
    return [wire.header(number, sum(map(len, buffers))), *buffers]


def too_large(path: StrPath, what: str) -> SnapshotError:
    """The error for a file that no protobuf parser would read again."""
    return SnapshotError(
        f"cannot write '{path}': {what} exceeds protobuf's limit of {MAX_MESSAGE_BYTES} bytes\n"
        "  Fix: set snapshot_format: HDF5, which has no such limit"
    )


def _layer_fields(reader: Reader, layers: list[LayerWeights]) -> Iterator[Field]:
    reader.where = "before the first layer"
    for item in reader.fields():
        if item.wire_type == wire.BYTES and item.number in _LAYOUTS:
            yield item
            reader.where = f"after layer {len(layers)}, '{layers[-1].name}'"


def _layer_buffers(record: LayerRecord) -> list[Buffer]:
    buffers: list[Buffer] = [record.message]
    diffs = [None] * len(record.blobs) if record.diffs is None else record.diffs
    for blob, diff in zip(record.blobs, diffs, strict=True):
        buffers += message_field(_LAYER_BLOBS, encode_blob(blob, diff))
    return buffers


def _read_layer(reader: Reader, layer: Field, layout: _Layout, diffs: bool) -> LayerWeights:
    name = type_ = ""
    blobs = []
    wires: dict[int, list[str]] = {layout.bottoms: [], layout.tops: []}
    for item in reader.fields(layer.start, layer.end):
        if item.wire_type == wire.VARINT and item.number == layout.type:
            type_ = v1_type(item.value)
        elif item.wire_type != wire.BYTES:
            continue
        elif item.number == layout.nested:
            return _read_layer(reader, item, _V0, diffs)
        elif item.number == layout.name:
            name = reader.text(item)
        elif item.number == layout.type:
            type_ = reader.text(item)
        elif item.number == layout.blobs:
            blobs.append(item)
        elif item.number in wires:
            wires[item.number].append(reader.text(item))
    entry = _decode(reader, name, v0_type(type_) if layout is _V0 else type_, blobs, diffs)
    entry.bottoms, entry.tops = wires[layout.bottoms], wires[layout.tops]
    return entry


def _decode(reader: Reader, name: str, type_: str, blobs: list[Field], diffs: bool) -> LayerWeights:
    layer = LayerWeights(name, type_, [], [])
    owner = f"layer '{name}' ({type_})"
    reader.where = owner
    for index, item in enumerate(blobs):
        blob = decode_blob(reader, item.start, item.end, f"blob {index} of {owner}", diff=diffs)
        layer.blobs.append(blob.data)
        layer.legacy.append(blob.legacy)
        layer.diffs.append(blob.diff)
    return layer
