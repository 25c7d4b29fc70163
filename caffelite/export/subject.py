"""What is exported: a net in its deployed form, with its weights, and how its sizes follow the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffelite.errors import CaffeliteError, ExportError, UsageError
from caffelite.export.deploy import Deployed, deploy
from caffelite.graph.build import build_graph
from caffelite.graph.graph import Graph
from caffelite.graph.state import net_state
from caffelite.model import Model
from caffelite.net import Net
from caffelite.prototxt.source import NetSource, as_net
from caffelite.types import Phase

AnyNet = str | Path | NetSource | Model | Net


def living_net(net: AnyNet) -> Model | None:
    """The model of a net that lives; None for a file or a message."""
    return net.model if isinstance(net, Net) else net if isinstance(net, Model) else None


def source_of(net: AnyNet) -> NetSource:
    """The messages of a net. Raises what reading a file raises."""
    living = living_net(net)
    return living.source if living else as_net(net)  # type: ignore[arg-type]


@dataclass
class Subject:
    """A net to export.

    Attributes:
        model: the deployed net with its weights.
        deployed: how it came about.
        symbol: the word for the first size of the inputs, empty for a fixed one.
        items: that size as it is now.
        other: the net with one item more, which shows what follows the batch; None for a fixed one.
    """

    model: Model
    deployed: Deployed
    symbol: str
    items: int
    other: Graph | None

    @classmethod
    def of(
        cls,
        net: AnyNet,
        weights: str | Path | None,
        shapes: Mapping[str, Sequence[int]],
        batch: int | str | None,
        level: int,
        stages: Sequence[str],
        seed: int,
    ) -> Subject:
        """The subject that the arguments of ``caffelite.export.onnx`` describe, which tells what is raised."""
        living, source = living_net(net), source_of(net)
        if living:
            level, stages = living.state.level, living.state.stages
        symbol, size = _batch(batch)
        wanted = {name: tuple(int(dim) for dim in shape) for name, shape in shapes.items()}
        deployed = deploy(source, net_state(source, Phase.TEST, level, stages), wanted, size)
        model = Model(deployed.source, backward=False, observe=False, seed=seed)
        if weights is not None:
            model.load_weights(weights)
        elif living is not None:
            _take_weights(model, living)
        else:
            deployed.notes.append("no weights were given: they have their initial values")
        return cls(
            model, deployed, symbol, _items(model.graph), _other_batch(model, deployed) if symbol else None
        )


def _items(graph: Graph) -> int:
    """The first size of the inputs; 1 without any."""
    return next((shape[0] for name in graph.inputs if (shape := graph.blobs[name].shape)), 1)


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
