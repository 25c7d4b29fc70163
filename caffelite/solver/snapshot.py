"""Snapshots: ``PREFIX_iter_N.caffemodel`` and ``.solverstate``, with ``.h5`` behind for HDF5.

Weights are written first and the state last, each whole or not at all: a state file that is there has its
weights. It keeps a checksum of them, since another run may have been killed after it wrote its own over them.
Both hold float32: a run in float64 goes on from rounded numbers.

Source of names and contents: ``Solver::Snapshot`` and ``SGDSolver::SnapshotSolverState`` of BVLC Caffe.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caffelite.atomic import check_writable
from caffelite.errors import MissingFileError, WeightsError
from caffelite.graph.graph import ParamUse
from caffelite.loading import numbered
from caffelite.model import Model
from caffelite.params import Param
from caffelite.solver.lines import Lines
from caffelite.types import shape_text
from caffelite.weights import (
    LayerWeights,
    SolverState,
    load_state,
    load_weights,
    shapes_match,
    write_hdf5_state,
    write_solverstate,
)

VERSION = 1  # of what a state holds beyond Caffe's
_HDF5 = 0  # SolverParameter.SnapshotFormat


@dataclass(frozen=True)
class Snapshots:
    """Where a solver's snapshots go and in which format. ``p`` is the SolverParameter."""

    p: Any
    root: Path

    @property
    def prefix(self) -> str:
        return str(self.root / self.p.snapshot_prefix)

    @property
    def hdf5(self) -> bool:
        return bool(self.p.snapshot_format == _HDF5)

    def paths(self, iteration: int) -> tuple[str, str]:
        """The files of weights and state after so many updates."""
        end = ".h5" if self.hdf5 else ""
        stem = f"{self.prefix}_iter_{iteration}"
        return f"{stem}.caffemodel{end}", f"{stem}.solverstate{end}"

    def write_best(self, iteration: int, net: Model, lines: Lines) -> None:
        """Writes the weights to ``PREFIX_best.caffemodel``, in place of those of an earlier best test."""
        path = f"{self.prefix}_best.caffemodel{'.h5' if self.hdf5 else ''}"
        lines.snapshot_weights(iteration, path, self.hdf5)
        net.save(path, hdf5=self.hdf5)

    def probe(self) -> None:
        """Raises SnapshotError if snapshots could not be written."""
        check_writable(self.prefix)

    def write(self, net: Model, state: SolverState, lines: Lines) -> str:
        """Writes both files and returns the state's path.

        Raises SnapshotError (a full disk, say); the snapshots from before stay as they are.
        """
        weights, path = self.paths(state.iter)
        lines.snapshot_weights(state.iter, weights, self.hdf5)
        net.save(weights, hdf5=self.hdf5, diffs=self.p.snapshot_diff)
        state.learned_net = weights
        lines.snapshot_state(state.iter, path, self.hdf5)
        write = write_hdf5_state if self.hdf5 else write_solverstate
        write(path, state)
        return path


def read_state(
    path: str | Path, learnables: Sequence[tuple[ParamUse, Param]], histories: int, type_: str
) -> SolverState:
    """Reads a state for a solver that keeps ``histories`` arrays for each learnable blob.

    Raises MissingFileError, and WeightsError if the file is none or of another net or solver type.
    """
    state = load_state(path)
    expected = histories * len(learnables)
    if len(state.history) != expected:
        raise WeightsError(
            f"'{path}': expected {expected} history blobs ({histories} for each of {len(learnables)} "
            f'learnable blobs with type "{type_}"), got {len(state.history)}\n'
            "  Fix: resume with the net and solver type that wrote it, or start from its weights (-weights)"
        )
    legacy = state.legacy or [False] * expected
    for index, array in enumerate(state.history):
        use, param = learnables[index % len(learnables)]
        if not shapes_match(array.shape, legacy[index], param.shape):
            raise WeightsError(
                f"'{path}': history blob {index} belongs to param {use.index} ('{use.spec.name}') of layer "
                f"'{use.layer}': expected {shape_text(param.shape)}, got {shape_text(array.shape)}\n"
                "  Fix: resume with the net that wrote it"
            )
    if state.extra.get("version", VERSION) > VERSION:
        raise WeightsError(
            f"'{path}': expected a state of version {VERSION} at most, got version {state.extra['version']}\n"
            "  Fix: it was written by a newer caffelite; update this one"
        )
    return state


def checksum(learnables: Sequence[tuple[ParamUse, Param]]) -> int:
    """Of the weights that a snapshot holds; a state keeps it, so as to know its own."""
    return _checksum(param.data for _, param in learnables)


def find_weights(
    path: str | Path, state: SolverState, root: Path, learnables: Sequence[tuple[ParamUse, Param]]
) -> tuple[Path, list[LayerWeights]]:
    """The weights that belong to a state: as it names them, else the file of that name beside it.

    Raises MissingFileError with both places, and WeightsError if what is there was not saved with the state
    (another run has written to the same prefix).
    """
    named = root / state.learned_net
    beside = Path(path).parent / named.name
    found = [candidate for candidate in dict.fromkeys((named, beside)) if candidate.exists()]
    if not found:
        fix = f"put them there, or beside the state as '{beside}'"
        raise MissingFileError(named, f"the weights of solver state '{path}',", fix)
    for candidate in found:
        weights = load_weights(candidate)
        if state.extra.get("weights") in (None, _checksum(_learned(weights, learnables))):
            return candidate, weights
    raise WeightsError(
        f"'{path}': expected the weights that were saved with it, got others in '{found[0]}'\n"
        "  Fix: another run has written to this prefix; resume from another of its snapshots, "
        "or start from the weights alone (-weights)"
    )


def _learned(
    weights: Sequence[LayerWeights], learnables: Sequence[tuple[ParamUse, Param]]
) -> Iterator[npt.NDArray[Any]]:
    entries = numbered(weights, {use.layer for use, _ in learnables})
    layers = {layer.name: layer.blobs for layer in reversed(entries) if layer.blobs}
    for use, _ in learnables:
        blobs = layers.get(use.layer, [])
        blob = blobs[use.index] if use.index < len(blobs) else None
        if blob is not None:
            yield blob


def _checksum(arrays: Iterable[npt.NDArray[Any]]) -> int:
    total = 0
    for array in arrays:
        total = zlib.crc32(np.ascontiguousarray(array, "<f4").reshape(-1).view(np.uint8).data, total)
    return total
