"""``onnx``: a net and its weights become an ONNX file that was seen to compute the same."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from caffelite.atomic import atomic_path
from caffelite.errors import CaffeliteError, ExportError, UsageError
from caffelite.export import check as checking
from caffelite.export.deploy import Deployed, deploy
from caffelite.export.proto import OPSETS, Description, Dims, package, write_model
from caffelite.export.report import Report, difference_lines
from caffelite.export.tensors import Array, Draft, Tensor
from caffelite.export.trace import Trace, trace
from caffelite.graph.build import build_graph
from caffelite.graph.graph import Graph, Value
from caffelite.graph.state import net_state
from caffelite.layers.base import measures
from caffelite.model import Model
from caffelite.net import Net
from caffelite.prototxt.source import NetSource, as_net
from caffelite.types import Phase

OPSET = 17
TOLERANCE = 1e-4


def onnx(
    net: str | Path | NetSource | Model | Net,
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
    subject = _Subject.of(net, weights, shapes or {}, batch, (level, tuple(stages)), seed)
    if inputs is not None:
        checking.check_inputs(subject.model, inputs, any_batch=bool(subject.symbol))
    target = Path(path)
    with (
        atomic_path(target) as temporary,
        TemporaryDirectory(dir=temporary.parent, prefix=".onnx-") as folder,
    ):
        made = subject.write(Path(folder) / target.name, opset, external)
        report = replace(made, path=target, tolerance=tolerance)
        if check:
            subject.check(report, made, inputs, seed)
        for file in made.files[1:]:
            with atomic_path(target.with_name(file.name)) as data:
                os.replace(file, data)
        os.replace(made.path, temporary)
    report.files = [target.with_name(file.name) for file in made.files]
    return report


@dataclass
class _Subject:
    """What is exported: the deployed net with its weights, and how its sizes follow the batch."""

    model: Model
    deployed: Deployed
    symbol: str  # the word for the first size of the inputs; empty for a fixed one
    other: Graph | None  # the net with another batch, which shows what follows it

    @classmethod
    def of(
        cls,
        net: str | Path | NetSource | Model | Net,
        weights: str | Path | None,
        shapes: Mapping[str, Sequence[int]],
        batch: int | str | None,
        rules: tuple[int, tuple[str, ...]],
        seed: int,
    ) -> _Subject:
        living = net.model if isinstance(net, Net) else net if isinstance(net, Model) else None
        source = living.source if living else as_net(net)  # type: ignore[arg-type]
        level, stages = (living.state.level, living.state.stages) if living else rules
        symbol, size = _batch(batch)
        wanted = {name: tuple(int(dim) for dim in shape) for name, shape in shapes.items()}
        deployed = deploy(source, net_state(source, Phase.TEST, level, stages), wanted, size)
        model = Model(deployed.source, backward=False, seed=seed)
        if weights is not None:
            model.load_weights(weights)
        elif living is not None:
            _take_weights(model, living)
        else:
            deployed.notes.append("no weights were given: they have their initial values")
        return cls(model, deployed, symbol, _other_batch(model, deployed) if symbol else None)

    def write(self, path: Path, opset: int, external: bool | None) -> Report:
        """Writes the model; the report has no differences yet."""
        graph = self.model.graph
        outputs = self.deployed.outputs(graph)
        if not outputs:
            raise ExportError(f"net '{graph.name}': nothing is left to export without losses and labels")
        self.traced = trace(graph, self.model.params, outputs, opset, self.other)
        draft = self.traced.draft
        self.about = _description(graph, self.traced, self.symbol, opset)
        files = write_model(draft, self.about, path, external)
        notes = [*self.deployed.notes, *draft.notes, *_unread(graph, draft)]
        dims = self.about.dims
        return Report(
            path, files, opset, len(draft.ops), {t.name: dims[t] for t in draft.inputs},
            {t.name: dims[t] for t in draft.outputs}, notes,
        )  # fmt: skip

    def check(
        self, report: Report, made: Report, inputs: Mapping[str, npt.ArrayLike] | None, seed: int
    ) -> None:
        """Fills in the differences. Raises ExportError if they are too large."""
        arrays = None if inputs is None else {n: np.asarray(a, np.float32) for n, a in inputs.items()}
        batches = [None] if self.other is None else [None, _items(self.other)]
        report.runtime = checking.runtime_name()
        report.differences = checking.differences(self.model, made.path, batches, arrays, seed)
        if not report.ok:
            table = "\n".join(difference_lines(report.differences))
            raise ExportError(
                f"the exported model computes something else than net '{self.model.name}' "
                f"(tolerance {report.tolerance:g} of each output's scale):\n{table}\n"
                f"{self._blame(made.path, report.tolerance, arrays, seed)}"
            )

    def _blame(self, path: Path, tolerance: float, inputs: Mapping[str, Array] | None, seed: int) -> str:
        """The first layer whose tops differ, found by making every blob an output."""
        blobs = {value: self.traced.tensors[value] for value in self.model.graph.blobs.values()}
        made = {tensor for op in self.traced.draft.ops for tensor in op.outputs}
        shown = {
            value: tensor for value, tensor in blobs.items() if tensor in made and tensor.name == value.name
        }
        draft = Draft(self.traced.draft.ops, self.traced.draft.inputs, list(shown.values()))
        every = path.with_name("every-blob.onnx")
        write_model(draft, self.about, every)
        looking = Model(self.deployed.source, backward=False, share=self.model, observe=True, fuse=False)
        for found, value in zip(
            checking.differences(looking, every, [None], inputs, seed), shown, strict=True
        ):
            if found.relative > tolerance:
                layer = value.producer.layer
                return f"the first to differ is layer '{layer.name}' ({layer.type}), by {found.relative:.2e}"
        return "no single layer differs by that much: rounding adds up"


def _take_weights(model: Model, living: Model) -> None:
    """Gives a net those weights of another that it has a place for, whatever their precision.

    Learned ones are not copied where that can be helped; statistics are, since a pass may write to them.
    """
    for use, mine in model.learnables:
        for its in living.params.get(use.layer, [])[use.index : use.index + 1]:
            mine.load(np.array(its.data, np.float32, copy=None if use.spec.learnable else True))


def _batch(batch: int | str | None) -> tuple[str, int | None]:
    """The word for a batch of any size, or its number."""
    if batch is None or isinstance(batch, int):
        if batch is not None and batch < 1:
            raise UsageError(f"batch: expected a number from 1 up or a word, got {batch}")
        return "", batch
    if not batch.isidentifier():
        raise UsageError(f"batch: expected a number from 1 up or a word such as N, got '{batch}'")
    return batch, None


def _other_batch(model: Model, deployed: Deployed) -> Graph:
    """The net with one item more. Raises ExportError if it cannot have that."""
    shapes = {name: model.graph.blobs[name].shape for name in model.graph.inputs}
    larger = {name: (shape[0] + 1, *shape[1:]) for name, shape in shapes.items() if shape}
    try:
        graph = build_graph(deployed.source, shapes=larger)
    except CaffeliteError as error:
        raise ExportError(f"the batch must be fixed: with another number of items\n{error}") from error
    for mine, its in zip(model.graph.params, graph.params, strict=True):
        if mine.spec.shape != its.spec.shape:
            raise ExportError(
                f"the batch must be fixed: the weights of layer '{mine.layer}' have a size that follows it"
            )
    return graph


def _items(graph: Graph) -> int:
    """The first size of the inputs."""
    return next(shape[0] for name in graph.inputs if (shape := graph.blobs[name].shape))


def _description(graph: Graph, traced: Trace, symbol: str, opset: int) -> Description:
    """Sizes and names as the file tells them. What comes of a layer that decides its sizes in each pass has none."""
    loose: set[Value] = set()
    for node in graph.nodes:
        if measures(node.layer) or loose.intersection(node.bottoms):
            loose.update(node.tops)
    items = _items(graph) if symbol else 0
    dims: dict[Tensor, Dims] = {}
    for value, sizes in traced.dims.items():
        known = tuple(_dim(size, true, items, symbol) for size, true in zip(sizes, value.shape, strict=True))
        dims.setdefault(traced.tensors[value], (None,) * len(known) if value in loose else known)
    there = {*traced.draft.inputs, *(tensor for op in traced.draft.ops for tensor in op.outputs)}
    blobs = {name: traced.tensors[value] for name, value in graph.blobs.items()}
    renamed = {name: tensor.name for name, tensor in blobs.items() if tensor in there and tensor.name != name}
    return Description(graph.name, dims, renamed, opset)


def _dim(size: int, true: int, items: int, symbol: str) -> int | str | None:
    """A size; one that follows the batch is its word, or the word with a factor."""
    if size != -1:
        return size
    if true % items:
        return None
    return symbol if true == items else f"{symbol}_x_{true // items}"


def _unread(graph: Graph, draft: Draft) -> list[str]:
    there = {tensor.name for tensor in draft.inputs}
    return [f"input '{name}' is left out: nothing reads it" for name in graph.inputs if name not in there]
