"""``onnx``: a net and its weights become an ONNX file that was seen to compute the same."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from caffelite.atomic import atomic_path
from caffelite.errors import ExportError, UsageError
from caffelite.export import check as checking
from caffelite.export.describe import describe
from caffelite.export.proto import OPSETS, Description, package, write_model
from caffelite.export.report import Report, difference_lines
from caffelite.export.subject import AnyNet, Subject
from caffelite.export.tensors import Array, Draft
from caffelite.export.trace import Trace, trace
from caffelite.graph.graph import Graph
from caffelite.model import Model

OPSET = 17
TOLERANCE = 1e-4


def onnx(
    net: AnyNet,
    weights: str | Path | None,
    path: str | Path,
    *,
    opset: int = OPSET,
    batch: int | str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    level: int = 0,
    stages: Sequence[str] = (),
    check: bool = True,
    tolerance: float = TOLERANCE,
    inputs: Mapping[str, npt.ArrayLike] | None = None,
    seed: int = 0,
    external: bool | None = None,
) -> Report:
    """Writes a net in phase TEST as an ONNX model, runs it in onnxruntime and compares.

    Data layers become inputs; losses and accuracies are left out, of a SoftmaxWithLoss the Softmax stays. The file
    appears, whole, only if all outputs agree.

    Args:
        net: a prototxt, or a living net (its weights are taken unless ``weights`` names others).
        weights: a weights file; None leaves the fillers' values, drawn with ``seed``.
        path: the file to write; ``<path>.data`` comes beside it for more than 2 GiB of weights, or with ``external``.
        opset: version of the ONNX operators, 13 to 21.
        batch: the first size of all inputs: a number, or a word (``"N"``) for one that may be any.
        shapes: sizes of inputs, and of the tops of data layers (which then need no data).
        level: of the net's state; ``stages`` likewise.
        stages: for the rules of layers.
        check: whether to run the model. Without it nothing is promised.
        tolerance: the largest difference allowed, in units of each output's largest magnitude.
        inputs: what to compare on; random numbers from -1 to 1 (and the indices and regions that layers want) if not given.
        seed: of the random inputs and of fillers.
        external: whether weights go to a file of their own; None: where they must.

    Raises:
        ExportError: layers that ONNX cannot express (all of them are listed), or another result than the net's.
        UsageError: a wrong argument, or packages that are not installed: ``pip install 'caffelite[onnx]'``.
        NetError, WeightsError, DataError: what building the net and loading weights raise.
        SnapshotError: the file cannot be written.
    """
    package()
    if opset not in OPSETS:
        raise UsageError(f"opset: expected {OPSETS[0]} to {OPSETS[-1]}, got {opset}")
    subject = Subject.of(net, weights, shapes or {}, batch, level, stages, seed)
    if not tolerance >= 0:
        raise UsageError(f"tolerance: expected a number from 0 up, got {tolerance:g}")
    arrays = None if inputs is None else {name: _as_input(name, a) for name, a in inputs.items()}
    checking.check_inputs(subject.model, arrays or {}, any_batch=bool(subject.symbol))
    target = Path(path)
    with (
        atomic_path(target) as temporary,
        TemporaryDirectory(dir=temporary.parent, prefix=".onnx-") as folder,
    ):
        made = _write(subject, Path(folder) / target.name, opset, external)
        report = _report(subject, made, target, tolerance)
        if check:
            _check(subject, made, report, arrays, seed)
        for file in made.files[1:]:
            with atomic_path(target.with_name(file.name)) as data:
                os.replace(file, data)
        os.replace(made.files[0], temporary)
    return report


def _as_input(name: str, values: npt.ArrayLike) -> Array:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise UsageError(f"inputs: expected real numbers for '{name}', got {array.dtype}")
    return array.astype(np.float32, copy=False)


@dataclass
class _Made:
    """A model that is written, but not where it belongs yet."""

    trace: Trace
    about: Description
    files: list[Path]  # the model, and perhaps its weights


def _write(subject: Subject, path: Path, opset: int, external: bool | None) -> _Made:
    graph = subject.model.graph
    outputs = subject.deployed.outputs(graph)
    if not outputs:
        raise ExportError(f"net '{graph.name}': nothing is left to export without losses and labels")
    traced = trace(graph, subject.model.params, outputs, opset, subject.other)
    about = describe(graph, traced, subject.symbol, subject.items, opset)
    return _Made(traced, about, write_model(traced.draft, about, path, external))


def _report(subject: Subject, made: _Made, target: Path, tolerance: float) -> Report:
    draft, dims = made.trace.draft, made.about.dims
    return Report(
        path=target,
        files=[target.with_name(file.name) for file in made.files],
        opset=made.about.opset,
        operators=len(draft.ops),
        inputs={tensor.name: dims[tensor] for tensor in draft.inputs},
        outputs={tensor.name: dims[tensor] for tensor in draft.outputs},
        notes=[*subject.deployed.notes, *draft.notes, *_left_out(subject.model.graph, draft)],
        tolerance=tolerance,
    )


def _check(
    subject: Subject, made: _Made, report: Report, inputs: Mapping[str, Array] | None, seed: int
) -> None:
    """Fills in the differences. Raises ExportError if they are too large."""
    batches = [None] if subject.other is None else [None, subject.items + 1]
    report.runtime = checking.runtime_name()
    report.differences = checking.differences(subject.model, made.files[0], batches, inputs, seed)
    blank = dict.fromkeys(found.output for found in report.differences if not found.scale)
    report.notes += [
        f"output '{name}' was never but 0 or not finite: compare on inputs of your own" for name in blank
    ]
    if not report.ok:
        table = "\n".join(difference_lines(report.differences))
        raise ExportError(
            f"the exported model computes something else than net '{subject.model.name}' "
            f"(tolerance {report.tolerance:g} of each output's scale):\n{table}\n"
            f"{_blame(subject, made, report.tolerance, inputs, seed)}"
        )


def _blame(
    subject: Subject, made: _Made, tolerance: float, inputs: Mapping[str, Array] | None, seed: int
) -> str:
    """The first layer whose tops differ, found by making every blob an output."""
    written = {tensor for op in made.trace.draft.ops for tensor in op.outputs}
    blobs = {value: made.trace.tensors[value] for value in subject.model.graph.blobs.values()}
    shown = {
        value: tensor for value, tensor in blobs.items() if tensor in written and tensor.name == value.name
    }
    draft = Draft(made.trace.draft.ops, made.trace.draft.inputs, list(shown.values()))
    every = made.files[0].with_name("every-blob.onnx")
    write_model(draft, made.about, every)
    looking = Model(subject.deployed.source, backward=False, share=subject.model, fuse=False)
    found = checking.differences(looking, every, [None], inputs, seed)
    for value, difference in zip(shown, found, strict=True):
        if difference.relative > tolerance:
            layer = value.producer.layer
            return f"the first to differ is layer '{layer.name}' ({layer.type}), by {difference.relative:.2e}"
    return "no single layer differs by that much: rounding adds up"


def _left_out(graph: Graph, draft: Draft) -> list[str]:
    there = {tensor.name for tensor in draft.inputs}
    unread = [f"input '{name}' is left out: nothing reads it" for name in graph.inputs if name not in there]
    written = [name for name in graph.outputs if name in graph.inputs and graph.blobs[name].version]
    fix = "give the last layer that writes it a top of its own"
    return unread + [f"'{name}' is an input, and no output as well: {fix}" for name in written]
