"""From a net's messages to its graph, in the order in which Caffe's ``Net::Init`` does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from caffelite.errors import NetError, layer_message
from caffelite.graph.gradients import set_gradients
from caffelite.graph.graph import Graph, Node, ParamUse
from caffelite.graph.params import declare_params
from caffelite.graph.problems import Problems
from caffelite.graph.shapes import infer_node
from caffelite.graph.splits import insert_splits
from caffelite.graph.state import Entry, State, filter_layers
from caffelite.graph.wiring import Wires
from caffelite.layers.base import Layer
from caffelite.layers.registry import lookup
from caffelite.prototxt.source import NetSource
from caffelite.types import Phase, Shape

if TYPE_CHECKING:
    from caffelite.random import RandomSource


def build_graph(
    source: NetSource,
    phase: Phase = Phase.TEST,
    *,
    level: int = 0,
    stages: tuple[str, ...] = (),
    state: State | None = None,
    shapes: Mapping[str, Shape] | None = None,
    sessions: dict[str, dict[str, Any]] | None = None,
    random: RandomSource | None = None,
    force_backward: bool = False,
) -> Graph:
    """Builds the graph of a net for one state.

    ``state`` replaces phase, level and stages where a solver has merged them. ``shapes`` overrides the shapes of
    blobs that the outside gives (tops of Input and data layers). ``sessions`` (layer name -> dict) carries what
    outlives a rebuild. Raises NetError, or NetErrors with all that is wrong.
    """
    state = state or State(phase, level, tuple(stages)).merged(_without_phase(source.message.state))
    entries, notes = filter_layers(source, state)
    problems = Problems()
    wires = Wires(source, problems)
    graph = Graph(source.message.name, state.phase, [], force_backward or source.message.force_backward, notes)
    owners: dict[str, ParamUse] = {}
    sessions = sessions if sessions is not None else {}
    for entry in insert_splits(entries):
        with problems.collect():
            layer = _make_layer(entry, state.phase, sessions, random, wires)
            node = wires.connect(len(graph.nodes), layer, entry)
            if node is not None:
                _finish(node, graph, shapes or {}, owners, wires, entry)
    problems.raise_any()
    set_gradients(graph)
    return graph


def _without_phase(state: Any) -> Any:
    """The net's own state; the phase comes from the caller."""
    copy = type(state)()
    copy.CopyFrom(state)
    copy.ClearField("phase")
    return copy


def _make_layer(
    entry: Entry, phase: Phase, sessions: dict[str, dict[str, Any]], random: RandomSource | None, wires: Wires
) -> Layer:
    message = entry.message
    if not message.HasField("phase"):
        message.phase = int(phase)
    try:
        cls = lookup(message.type, entry.where.at("type"), message.name)
        return cls(message, Phase(message.phase), entry.where, sessions.setdefault(message.name, {}), random)
    except NetError:
        wires.miss(message)
        raise


def _finish(
    node: Node, graph: Graph, shapes: Mapping[str, Shape], owners: dict[str, ParamUse], wires: Wires, entry: Entry
) -> None:
    """Shapes, parameters and loss weights; a node that fails takes its tops out of sight."""
    try:
        infer_node(node, shapes)
        node.params = declare_params(node, owners)
        _set_loss_weights(node)
    except NetError:
        for value in node.tops:
            wires.newest.pop(value.name, None)
        wires.miss(entry.message)
        raise
    graph.nodes.append(node)


def _set_loss_weights(node: Node) -> None:
    weights = list(node.layer.spec.loss_weight)
    if not weights and node.layer.loss:
        weights = [1.0] + [0.0] * (len(node.tops) - 1)
    if weights and len(weights) != len(node.tops):
        layer = node.layer
        raise NetError(
            layer_message(
                layer.name, layer.type, layer.location("loss_weight"),
                f"expected no loss_weight or one for each of {len(node.tops)} tops", str(len(weights)),
            )
        )  # fmt: skip
    for value, weight in zip(node.tops, weights, strict=False):
        value.loss_weight = weight
