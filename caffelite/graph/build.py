"""From a net's messages to its graph, in the order in which Caffe's ``Net::Init`` does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from caffelite.errors import CaffeliteError, NetError, layer_message
from caffelite.graph.gradients import check_propagate_down, set_gradients
from caffelite.graph.graph import Graph, Node, ParamUse
from caffelite.graph.params import declare_params
from caffelite.graph.problems import Problems
from caffelite.graph.shapes import infer_node
from caffelite.graph.splits import insert_splits
from caffelite.graph.state import Entry, State, filter_layers, net_state, require_layers
from caffelite.graph.wiring import Wires
from caffelite.layers._forks import drop_fork_fields
from caffelite.layers.base import Layer
from caffelite.layers.registry import lookup
from caffelite.prototxt.source import NetSource
from caffelite.types import Phase, Shape

if TYPE_CHECKING:
    from caffelite.random import RandomSource


def build_graph(
    source: NetSource,
    phase: int = Phase.TEST,
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
    state = state or net_state(source, phase, level, stages)
    problems = Problems()
    entries, notes = filter_layers(source, state, problems)
    require_layers(source, state, entries)
    wires = Wires(source, problems)
    graph = Graph(
        source.message.name, state.phase, [], force_backward or source.message.force_backward, notes
    )
    owners: dict[str, ParamUse] = {}
    keys, stores = set[str](), set[str]()
    sessions = sessions if sessions is not None else {}
    for entry in insert_splits(entries):
        with problems.collect():
            key = _unique(entry.message.name, keys)
            layer = _make_layer(entry, state.phase, sessions.setdefault(key, {}), random, wires, source)
            node = wires.connect(len(graph.nodes), layer, key, entry)
            if node is not None:
                _finish(node, graph, shapes or {}, owners, stores, wires, entry)
    problems.raise_any()
    set_gradients(graph)
    return graph


def _unique(name: str, keys: set[str]) -> str:
    """The name, with a number behind it if an earlier layer has it; ``keys`` holds those given out."""
    key, number = name, 2
    while key in keys:
        key, number = f"{name}#{number}", number + 1
    keys.add(key)
    return key


def _store(node: Node, stores: set[str], notes: list[str]) -> str:
    """What the params of a node are kept under; ``stores`` holds the names given out."""
    if not node.layer.params:
        return node.name
    store = _unique(node.name, stores)
    if store != node.name:
        notes.append(f"another layer with params is named {node.name}: those of the later one are '{store}'")
    return store


def _make_layer(
    entry: Entry,
    phase: Phase,
    session: dict[str, Any],
    random: RandomSource | None,
    wires: Wires,
    source: NetSource,
) -> Layer:
    message = entry.message
    if not message.HasField("phase"):
        message.phase = int(phase)
    try:
        cls = lookup(message.type, entry.where.at("type"), message.name)
        if source.lenient:
            source.ignore(list(_ignored_fields(entry, cls)))
        return cls(message, Phase(message.phase), entry.where, session, random)
    except CaffeliteError:
        wires.abandon(entry)
        raise


def _ignored_fields(entry: Entry, cls: type[Layer]) -> Iterator[str]:
    """Takes fields of forks that the layer would refuse out of its message, and says which."""
    for param, field in drop_fork_fields(entry.message, cls.extensions):
        layer, place = entry.message, entry.where.at(param, field)
        text = f"{param} has {field}, a field of a fork of Caffe that would change the result; ignored"
        yield layer_message(layer.name, layer.type, place, text)


def _finish(
    node: Node,
    graph: Graph,
    shapes: Mapping[str, Shape],
    owners: dict[str, ParamUse],
    stores: set[str],
    wires: Wires,
    entry: Entry,
) -> None:
    """Shapes, parameters and loss weights; a node that fails takes its tops out of sight."""
    try:
        infer_node(node, shapes)
        node.store = _store(node, stores, graph.notes)
        node.params = declare_params(node, owners)
        check_propagate_down(node)
        _set_loss_weights(node)
    except CaffeliteError:
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
