"""Weight files: name -> arrays. Knows nothing about nets.

A file's kind is told from its content, never from its name.
"""

from __future__ import annotations

from caffelite.weights import kinds
from caffelite.weights.blob import Blob, read_blob_file, shapes_match
from caffelite.weights.caffemodel import LayerRecord, LayerWeights, read_caffemodel, write_caffemodel
from caffelite.weights.hdf5 import (
    read_hdf5_state,
    read_hdf5_weights,
    write_hdf5_state,
    write_hdf5_weights,
)
from caffelite.weights.kinds import StrPath, wrong_kind
from caffelite.weights.npz import read_npz, write_npz
from caffelite.weights.safetensors import read_safetensors, write_safetensors
from caffelite.weights.solverstate import SolverState, read_solverstate, write_solverstate

__all__ = [
    "Blob",
    "LayerRecord",
    "LayerWeights",
    "SolverState",
    "load_state",
    "load_weights",
    "read_blob_file",
    "read_caffemodel",
    "read_hdf5_state",
    "read_hdf5_weights",
    "read_npz",
    "read_safetensors",
    "read_solverstate",
    "shapes_match",
    "write_caffemodel",
    "write_hdf5_state",
    "write_hdf5_weights",
    "write_npz",
    "write_safetensors",
    "write_solverstate",
]


def load_weights(path: StrPath, *, diffs: bool = False) -> list[LayerWeights]:
    """The layers of a ``.caffemodel``, ``.caffemodel.h5``, ``.safetensors`` or ``.npz`` file, whatever it is called.

    ``diffs`` asks for stored gradients too (``snapshot_diff``); safetensors and npz files have none.

    Raises:
        MissingFileError: there is no such file.
        WeightsError: the file is of another kind, damaged, or cut short.
    """
    kind = kinds.recognise(path)
    if kind is kinds.CAFFEMODEL:
        return read_caffemodel(path, diffs=diffs)
    if kind is kinds.HDF5:
        return read_hdf5_weights(path, diffs=diffs)
    if kind is kinds.SAFETENSORS:
        return read_safetensors(path)
    if kind is kinds.NPZ:
        return read_npz(path)
    raise wrong_kind(path, "weights (.caffemodel, .caffemodel.h5, .safetensors or .npz)", kind)


def load_state(path: StrPath) -> SolverState:
    """The solver state in a ``.solverstate`` or ``.solverstate.h5`` file, whatever it is called.

    Raises:
        MissingFileError: there is no such file.
        WeightsError: the file is of another kind (a caffemodel, say), damaged, or cut short.
    """
    kind = kinds.recognise(path)
    if kind is kinds.SOLVERSTATE:
        return read_solverstate(path)
    if kind is kinds.HDF5:
        return read_hdf5_state(path)
    raise wrong_kind(path, "a solver state (.solverstate or .solverstate.h5)", kind)
