"""safetensors, the format that today's tools exchange: a JSON header and raw little-endian arrays.

Blob ``i`` of layer ``conv1`` is named ``conv1.i``. The order and the types of the layers travel in the
metadata, so that a file written here comes back as it was; without it layers come in the order of the arrays.

Reference: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from caffelite.atomic import atomic_write
from caffelite.errors import WeightsError
from caffelite.types import Shape
from caffelite.weights import kinds, wire
from caffelite.weights.blob import Blob
from caffelite.weights.caffemodel import LayerWeights
from caffelite.weights.kinds import StrPath
from caffelite.weights.named import finish, named_arrays, place
from caffelite.weights.wire import Field, Reader

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "<u1"}
_METADATA = "__metadata__"
_LAYERS = "caffelite.layers"


class _Tensor(NamedTuple):
    dtype: str
    shape: Shape
    start: int
    end: int


def read_safetensors(path: StrPath) -> list[LayerWeights]:
    """All layers of the file; every number type is converted to float32.

    Raises:
        MissingFileError: there is no such file.
        WeightsError: the file is of another kind, damaged, cut short, or names its arrays otherwise.
    """
    kinds.require(path, kinds.SAFETENSORS)
    with kinds.open_for_reading(path, "weights file") as file:
        reader = Reader(file, path)
        header, data_start = _read_header(reader)
        layers = _declared_layers(reader, header)
        for key, entry in header.items():
            if key != _METADATA:
                tensor = _tensor(reader, key, entry, data_start)
                place(reader.path, layers, key, _read_array(reader, key, tensor))
    return finish(layers.values())


def write_safetensors(path: StrPath, layers: Sequence[LayerWeights]) -> None:
    """Writes layers as float32, their names, order and types included. The file appears whole or not at all.

    Raises:
        SnapshotError: it cannot be written.
    """
    declared = [{"name": layer.name, "type": layer.type, "legacy": layer.legacy} for layer in layers]
    header: dict[str, Any] = {_METADATA: {"format": "caffelite", _LAYERS: json.dumps(declared)}}
    arrays: list[Blob] = []
    position = 0
    for name, blob in named_arrays(layers):
        offsets = [position, position + blob.size * 4]
        header[name] = {"dtype": "F32", "shape": list(blob.shape), "data_offsets": offsets}
        arrays.append(blob)
        position = offsets[1]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for blob in arrays:
            file.write(np.ascontiguousarray(blob, "<f4").reshape(-1).view(np.uint8).data)


def _read_header(reader: Reader) -> tuple[dict[str, Any], int]:
    data_start = 8 + int.from_bytes(reader.read(0, 8), "little")
    try:
        header = json.loads(reader.read(8, data_start))
    except ValueError as error:
        raise reader.fail(8, f"expected a JSON header, got {error}") from error
    return header, data_start


def _declared_layers(reader: Reader, header: dict[str, Any]) -> dict[str, LayerWeights]:
    try:
        declared = json.loads(header.get(_METADATA, {}).get(_LAYERS, "[]"))
        return {str(d["name"]): LayerWeights(d["name"], d["type"], [], list(d["legacy"])) for d in declared}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise reader.fail(8, f"expected a list of layers in the metadata, got {error!r}") from error


def _tensor(reader: Reader, key: str, entry: Any, data_start: int) -> _Tensor:
    try:
        start, end = (data_start + int(offset) for offset in entry["data_offsets"])
        tensor = _Tensor(str(entry["dtype"]), tuple(int(dim) for dim in entry["shape"]), start, end)
    except (ValueError, TypeError, KeyError) as error:
        raise reader.fail(8, f"expected an array '{key}', got {entry!r:.80}") from error
    if tensor.dtype not in _DTYPES:
        raise WeightsError(
            f"'{reader.path}': expected '{key}' of type {', '.join(_DTYPES)}, got {tensor.dtype}"
        )
    if not data_start <= start <= end <= reader.size:
        raise reader.fail(start, f"'{key}' goes on to byte {end}, the file ends at byte {reader.size}")
    needed = math.prod(tensor.shape) * np.dtype(_DTYPES[tensor.dtype]).itemsize
    if end - start != needed or min(tensor.shape, default=0) < 0:
        raise reader.fail(start, f"expected '{key}' {tensor.shape} to take {needed} bytes, got {end - start}")
    return tensor


def _read_array(reader: Reader, key: str, tensor: _Tensor) -> Blob:
    reader.where = f"array '{key}'"
    array = np.empty(math.prod(tensor.shape), np.float32)
    if tensor.dtype == "BF16":  # the upper half of a float32
        halves = np.frombuffer(reader.read(tensor.start, tensor.end), "<u2")
        array.view(np.uint32)[:] = halves.astype(np.uint32) << 16
    else:
        reader.floats(Field(0, wire.BYTES, tensor.start, tensor.end), _DTYPES[tensor.dtype], array)
    return array.reshape(tensor.shape)
