"""From a draft to ONNX's own messages and files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffelite import __version__
from caffelite.errors import UsageError
from caffelite.export.tensors import Draft, Tensor

OPSETS = range(13, 22)
LIMIT = 2**31 - 2**20  # bytes of weights; a protobuf message ends at 2 GiB, and graph and names need some
_ALIGNMENT = 4096  # so that a runtime can map a tensor into memory
_SMALL = 1024  # bytes; smaller constants stay in the model, where shape inference sees them

Dims = tuple[int | str | None, ...]


@dataclass
class Description:
    """What a model says besides its operators: ``dims`` gives tensors' sizes, as numbers, symbols, or None."""

    name: str
    dims: Mapping[Tensor, Dims]
    blobs: Mapping[str, str]  # Caffe's blob -> tensor, where their names differ
    opset: int


def package() -> Any:
    """The module ``onnx``. Raises UsageError if it is not installed."""
    try:
        import onnx
    except ImportError as error:
        fix = "pip install 'caffelite[onnx]'"
        raise UsageError(f"ONNX export needs the package onnx: {error}\n  Fix: {fix}") from error
    return onnx


def write_model(draft: Draft, about: Description, path: Path, external: bool | None = None) -> list[Path]:
    """Writes the model, and ``<path>.data`` beside it for weights that are too large for one message.

    ``external`` decides instead of the size. Returns the files.
    """
    large = [tensor for tensor in draft.constants() if _bytes(tensor) > _SMALL]
    if external is None:
        external = sum(map(_bytes, large)) > LIMIT
    data = path.with_name(path.name + ".data")
    places = _write_data(large, data) if external and large else {}
    model = _model(draft, about, places, data.name)
    path.write_bytes(model.SerializeToString())
    package().checker.check_model(str(path))
    return [path, data] if places else [path]


def _write_data(tensors: list[Tensor], path: Path) -> dict[Tensor, tuple[int, int]]:
    """Writes arrays one after another; returns offset and length of each."""
    places = {}
    with path.open("wb") as file:
        for tensor in tensors:
            file.write(bytes(-file.tell() % _ALIGNMENT))
            places[tensor] = file.tell(), _bytes(tensor)
            file.write(_little_endian(tensor).reshape(-1).view(np.uint8).data)
    return places


def _model(draft: Draft, about: Description, places: Mapping[Tensor, tuple[int, int]], file: str) -> Any:
    onnx = package()
    helper = onnx.helper
    graph = helper.make_graph(
        [_node(helper, op) for op in draft.ops],
        about.name or "net",
        [_value(helper, tensor, about) for tensor in draft.inputs],
        [_value(helper, tensor, about) for tensor in draft.outputs],
        [_constant(onnx, tensor, places.get(tensor), file) for tensor in draft.constants()],
        value_info=[_value(helper, tensor, about) for tensor in _between(draft, about)],
    )
    opsets = [helper.make_opsetid("", about.opset)]
    version = helper.find_min_ir_version_for(opsets)  # the newest would shut older runtimes out
    model = helper.make_model(
        graph,
        opset_imports=opsets,
        ir_version=version,
        producer_name="caffelite",
        producer_version=__version__,
    )
    blobs = json.dumps(dict(about.blobs), ensure_ascii=False)
    helper.set_model_props(model, {"caffe.net": about.name, "caffe.blobs": blobs})
    return model


def _node(helper: Any, op: Any) -> Any:
    inputs = ["" if tensor is None else tensor.name for tensor in op.inputs]
    outputs = [tensor.name for tensor in op.outputs]
    return helper.make_node(op.type, inputs, outputs, op.name, f"layer '{op.layer}'", **op.attributes)


def _between(draft: Draft, about: Description) -> list[Tensor]:
    ends = {*draft.inputs, *draft.outputs}
    made = (tensor for op in draft.ops for tensor in op.outputs)
    return [tensor for tensor in made if tensor in about.dims and tensor not in ends]


def _value(helper: Any, tensor: Tensor, about: Description) -> Any:
    return helper.make_tensor_value_info(tensor.name, helper.TensorProto.FLOAT, about.dims[tensor])


def _constant(onnx: Any, tensor: Tensor, place: tuple[int, int] | None, file: str) -> Any:
    array = _little_endian(tensor)
    proto = onnx.TensorProto()
    proto.name = tensor.name
    proto.data_type = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    proto.dims.extend(array.shape)
    if place is None:
        proto.raw_data = array.tobytes()
        return proto
    proto.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", file), ("offset", place[0]), ("length", place[1])):
        entry = proto.external_data.add()
        entry.key, entry.value = key, str(value)
    return proto


def _little_endian(tensor: Tensor) -> Any:
    array = tensor.array
    return array if array is None else array.astype(array.dtype.newbyteorder("<"), copy=False)


def _bytes(tensor: Tensor) -> int:
    return 0 if tensor.array is None else int(tensor.array.nbytes)
