"""Caffe's HDF5 files: ``.caffemodel.h5`` and ``.solverstate.h5``.

Weights: group ``data`` with a group for every layer, in it a dataset for each blob that the layer owns, named
by its index; group ``diff`` alike, if gradients were stored. A slash in a layer's name ("inception_3a/1x1")
makes groups in groups; BVLC Caffe cannot write such a layer to HDF5 at all. State: datasets ``iter``,
``learned_net`` and ``current_step`` and a group ``history``; ours has one dataset more, which BVLC Caffe
never asks for.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from caffelite.errors import CaffeliteError, SnapshotError, WeightsError
from caffelite.hdf5_disk import write_hdf5
from caffelite.weights import kinds
from caffelite.weights.blob import MAX_COUNT, Blob
from caffelite.weights.caffemodel import MAX_BLOBS, LayerRecord, LayerWeights
from caffelite.weights.kinds import Kind, StrPath, wrong_kind
from caffelite.weights.solverstate import SolverState, decode_extra, encode_extra

WEIGHTS = Kind("Caffe weights in HDF5 (.caffemodel.h5)", kinds.CAFFEMODEL.fix)
STATE = Kind("a Caffe solver state in HDF5 (.solverstate.h5)", kinds.SOLVERSTATE.fix)
_KERAS = Kind("a Keras model", "save its arrays as safetensors named '<layer>.<index>' and give that file")
_OTHER = Kind("an HDF5 file without layers", "training data in HDF5 is named as source of hdf5_data_param")

_EXTRA = "caffelite"
_HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)


def read_hdf5_weights(path: StrPath, *, diffs: bool = False) -> list[LayerWeights]:
    """All layers of the file, by name (HDF5 keeps no other order), those without blobs included.

    ``blobs`` has ``None`` where a layer lacks a blob with a higher one present, and may be shorter than the
    layer's own list: such blobs belong to another layer (``partial``).

    Raises:
        MissingFileError: there is no such file.
        WeightsError: the file is of another kind, damaged, or cut short.
    """
    with _reading(path, WEIGHTS) as file:
        gradients = file.get("diff", {}) if diffs else {}
        return [_read_layer(path, name, group, gradients) for name, group in _layer_groups(file["data"])]


def write_hdf5_weights(path: StrPath, layers: Iterable[LayerRecord]) -> None:
    """Writes weights that BVLC Caffe reads; blobs that a layer does not own are left out, their diffs are
    not.

    Raises:
        SnapshotError: the file cannot be written, or two layers with blobs have one name.
    """
    with write_hdf5(path) as file:
        groups = {"data": file.create_group("data")}
        for record in layers:
            owned = record.owned or [True] * len(record.blobs)
            values = {i: blob for i, (blob, own) in enumerate(zip(record.blobs, owned, strict=True)) if own}
            _write_layer(groups["data"], record.name, values)
            if record.diffs is not None:
                diff = groups.setdefault("diff", file.require_group("diff"))
                _write_layer(diff, record.name, dict(enumerate(record.diffs)))


def read_hdf5_state(path: StrPath) -> SolverState:
    """Reads a solver state from HDF5.

    Raises:
        MissingFileError: there is no such file.
        WeightsError: the file is of another kind, damaged, or cut short.
    """
    with _reading(path, STATE) as file:
        history = file["history"]
        arrays = [_read_array(path, history[str(i)], f"history blob {i}") for i in range(len(history))]
        extra = decode_extra(bytes(file[_EXTRA][()]), path) if _EXTRA in file else {}
        return SolverState(
            iter=int(np.ravel(file["iter"][()])[0]),
            learned_net=os.fsdecode(file["learned_net"][()]) if "learned_net" in file else "",
            current_step=int(np.ravel(file["current_step"][()])[0]),
            history=arrays,
            extra=extra,
            legacy=[False] * len(arrays),
        )


def write_hdf5_state(path: StrPath, state: SolverState) -> None:
    """Writes a solver state that BVLC Caffe reads.

    Raises:
        SnapshotError: the file cannot be written.
        TypeError: ``extra`` holds something that JSON cannot.
    """
    extra = np.frombuffer(encode_extra(state.extra), np.uint8)
    with write_hdf5(path) as file:
        file["iter"] = np.array([state.iter], np.int32)
        _write_string(file, "learned_net", os.fsencode(state.learned_net))
        file["current_step"] = np.array([state.current_step], np.int32)
        history = file.create_group("history")
        for index, array in enumerate(state.history):
            history[str(index)] = np.asarray(array, np.float32)
        if state.extra:
            file[_EXTRA] = extra


def _kind(file: Any) -> Kind:
    """Tells what an open HDF5 file holds."""
    import h5py

    if "iter" in file and isinstance(file.get("history"), h5py.Group):
        return STATE
    if isinstance(file.get("data"), h5py.Group):
        return WEIGHTS
    return _KERAS if "layer_names" in file.attrs or "model_weights" in file else _OTHER


@contextmanager
def _reading(path: StrPath, wanted: Kind) -> Iterator[Any]:
    kinds.require(path, kinds.HDF5)
    with _open(path) as file:
        if (kind := _kind(file)) is not wanted:
            raise wrong_kind(path, wanted.what, kind)
        yield file


@contextmanager
def _open(path: StrPath) -> Iterator[Any]:
    """The file; whatever the HDF5 library finds wrong in it becomes a WeightsError."""
    import h5py

    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except CaffeliteError:
        raise
    except _HDF5_ERRORS as error:
        raise WeightsError(
            f"'{os.fspath(path)}' is damaged: {error}\n"
            "  Fix: download or copy the file again, and compare its size and checksum with the source's"
        ) from error


def _layer_groups(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The groups that stand for layers. One that only holds other groups is a part of their names."""
    import h5py

    for key, item in group.items():
        if not isinstance(item, h5py.Group):
            continue
        inner = [isinstance(value, h5py.Group) for value in item.values()]
        if not all(inner) or not inner:
            yield prefix + key, item
        yield from _layer_groups(item, f"{prefix}{key}/")


def _read_layer(path: StrPath, name: str, group: Any, gradients: Any) -> LayerWeights:
    blobs = _read_blobs(path, group, f"layer '{name}'")
    diffs = _read_blobs(path, gradients[name], f"the diff of layer '{name}'") if name in gradients else []
    diffs += [None] * (len(blobs) - len(diffs))
    return LayerWeights(name, "", blobs, [False] * len(blobs), partial=True, diffs=diffs)


def _read_blobs(path: StrPath, group: Any, owner: str) -> list[Blob | None]:
    import h5py

    names = [key for key in group if isinstance(key, str) and key.isdecimal()]  # bytes where it is no UTF-8
    found = {int(name): item for name in names if isinstance(item := group[name], h5py.Dataset)}
    if any(index >= MAX_BLOBS for index in found):
        raise WeightsError(f"'{path}': expected at most {MAX_BLOBS} blobs in {owner}, got blob {max(found)}")
    arrays: list[Blob | None] = [None] * (max(found, default=-1) + 1)
    for index, dataset in found.items():
        arrays[index] = _read_array(path, dataset, f"blob {index} of {owner}")
    return arrays


def _read_array(path: StrPath, dataset: Any, what: str) -> Blob:
    shape = dataset.shape
    if shape is None or dataset.dtype.kind not in "fiu" or math.prod(shape) > MAX_COUNT:
        raise WeightsError(f"'{path}': expected {what} to be an array of numbers, got {dataset}")
    array = np.empty(shape, np.float32)
    if array.size:
        dataset.read_direct(array)
    return array


def _write_layer(parent: Any, name: str, blobs: dict[int, Any]) -> None:
    try:
        group = parent.require_group(name)
        for index, blob in blobs.items():
            group.create_dataset(str(index), data=np.asarray(blob, np.float32))
    except (ValueError, TypeError) as error:
        raise SnapshotError(
            f"layer '{name}': its name cannot be stored in HDF5 beside those of the other layers ({error})\n"
            "  Fix: rename the layer, or set snapshot_format: BINARYPROTO"
        ) from error


def _write_string(file: Any, name: str, value: bytes) -> None:
    """A scalar string as Caffe reads it: of fixed length, with a zero byte at the end."""
    import h5py

    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(value) + 1)
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    dataset = h5py.h5d.create(file.id, name.encode(), kind, space)
    dataset.write(space, space, np.array(value, f"S{len(value) + 1}"), kind)
