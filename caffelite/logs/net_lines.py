"""What Caffe prints while it builds a net, told from a finished graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from caffelite.graph.graph import Graph, Node
from caffelite.graph.state import State, filter_layers
from caffelite.logs.log import Log
from caffelite.prototxt.source import NetSource
from caffelite.prototxt.write import write_text
from caffelite.types import count, shape_text

Line = tuple[str, str]  # where, text


def log_net(log: Log, graph: Graph, text: str = "") -> None:
    """Logs the building of a net as Caffe's ``net.cpp`` does. ``text``: the net as used, in prototxt form."""
    for where, line in _lines(graph, text):
        log.emit("net", line, where)


def used_text(source: NetSource, state: State, written: Any = None) -> str:
    """A net as text, with the state it is built in and without the layers that the state leaves out.

    ``written``: the state as a NetState message, where one says which of its fields were given.
    """
    used = type(source.message)()
    used.CopyFrom(source.message)
    used.ClearField("state")
    if written is not None:
        used.state.CopyFrom(written)
    else:
        used.state.phase = int(state.phase)
        used.state.level = state.level
        used.state.stage.extend(state.stages)
    del used.layer[:]
    used.layer.extend(entry.message for entry in filter_layers(source, state)[0])
    return write_text(used)


def _lines(graph: Graph, text: str) -> Iterator[Line]:
    yield from (("net.cpp:296", note) for note in graph.notes)
    if text:
        yield "net.cpp:53", f"Initializing net from parameters: \n{text}"
    memory = 0
    for node in graph.nodes:
        memory += 4 * sum(count(value.shape) for value in node.tops)
        yield from _node(node)
        yield "net.cpp:139", f"Memory required for data: {memory}"
    for node in reversed(graph.nodes):
        if node.backward:
            yield "net.cpp:200", f"{node.name} needs backward computation."
        else:
            yield "net.cpp:202", f"{node.name} does not need backward computation."
    yield from (("net.cpp:244", f"This network produces output {name}") for name in graph.outputs)
    yield "net.cpp:257", "Network initialization done."


def _node(node: Node) -> Iterator[Line]:
    name = node.name
    yield "layer_factory.hpp:77", f"Creating layer {name}"
    yield "net.cpp:86", f"Creating Layer {name}"
    yield from (("net.cpp:408", f"{name} <- {value.name}") for value in node.bottoms)
    inplace = {top for _, top in node.inplace_pairs()}
    for value in node.tops:
        if value in inplace:
            yield "net.cpp:369", f"{name} -> {value.name} (in-place)"
        else:
            yield "net.cpp:382", f"{name} -> {value.name}"
    yield "net.cpp:124", f"Setting up {name}"
    for value in node.tops:
        yield "net.cpp:131", f"Top shape: {shape_text(value.shape)}"
        if value.loss_weight:
            yield "net.cpp:134", f"    with loss weight {value.loss_weight:g}"
    for use in node.params:
        owner = use.owner
        if owner is not None:
            place = f"layer '{owner.layer}', param index {owner.index}"
            yield "net.cpp:459", f"Sharing parameters '{use.shared_name}' owned by {place}"
