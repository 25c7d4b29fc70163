"""Runs an exported model in onnxruntime beside the net it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.cpu.threads import num_threads
from caffelite.errors import ExportError, UsageError
from caffelite.export.draw import draw_inputs
from caffelite.export.report import Difference, compare
from caffelite.export.tensors import Array
from caffelite.model import Model

_QUIET = 3  # errors only


def package() -> Any:
    """The module ``onnxruntime``. Raises UsageError if it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        fix = "pip install 'caffelite[onnx]', or export without the check (--no-check, check=False)"
        raise UsageError(f"the check needs the package onnxruntime: {error}\n  Fix: {fix}") from error
    return onnxruntime


def runtime_name() -> str:
    """Name and version of what runs the models."""
    return f"onnxruntime {package().__version__}"


class Session:
    """A model loaded by onnxruntime. Raises ExportError for one that it cannot load or run."""

    def __init__(self, path: Path):
        runtime = package()
        options = runtime.SessionOptions()
        options.log_severity_level = _QUIET
        options.intra_op_num_threads = num_threads()
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ExportError(f"{runtime_name()} cannot load the exported model: {error}") from error
        self.inputs = [tensor.name for tensor in self._session.get_inputs()]
        self.outputs = [tensor.name for tensor in self._session.get_outputs()]

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name for inputs by name; inputs that the model does not have are left out."""
        feeds = {name: arrays[name] for name in self.inputs}
        try:
            return dict(zip(self.outputs, self._session.run(None, feeds), strict=True))
        except Exception as error:
            raise ExportError(f"{runtime_name()} cannot run the exported model: {error}") from error


def differences(
    model: Model, path: Path, batches: Sequence[int | None], inputs: Mapping[str, Array] | None, seed: int
) -> list[Difference]:
    """Compares all outputs on random inputs for each batch size (None: as the net is), or on given inputs.

    Raises ExportError for a model that onnxruntime refuses, UsageError for inputs that the net does not have.
    """
    session = Session(path)
    found = []
    for batch in batches if inputs is None else [None]:
        found += _differences(model, session, batch, inputs, seed)
    return found


def _differences(
    model: Model, session: Session, batch: int | None, inputs: Mapping[str, Array] | None, seed: int
) -> list[Difference]:
    shapes = {name: model.graph.blobs[name].shape for name in model.graph.inputs}
    if inputs is not None:
        shapes |= {name: array.shape for name, array in inputs.items()}
    elif batch is not None:
        shapes = {name: (batch, *shape[1:]) for name, shape in shapes.items() if shape}
    model.reshape(shapes)
    arrays = draw_inputs(model.graph, seed) | dict(inputs or {})
    for name, array in arrays.items():
        model.input(name)[...] = array
    model.forward()
    results = session.run(arrays)
    return [compare(name, model.blob(name), other) for name, other in results.items()]


def check_inputs(model: Model, inputs: Mapping[str, Any], any_batch: bool) -> None:
    """Raises UsageError unless arrays of the right sizes are given for inputs of the net."""
    for name, array in inputs.items():
        if name not in model.graph.inputs:
            raise UsageError(f"inputs: the net has {', '.join(model.graph.inputs)}, not '{name}'")
        wanted, got = model.graph.blobs[name].shape, np.shape(array)
        if len(got) != len(wanted) or got[any_batch:] != wanted[any_batch:]:
            raise UsageError(f"inputs: expected '{name}' {wanted}{' with any batch' * any_batch}, got {got}")
