"""A net as it is deployed: inputs in place of its data, without losses and accuracies.

A step from messages to messages. Nets for deployment pass it as they are; of a ``train_val.prototxt`` it makes what
its author would write into ``deploy.prototxt``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from caffelite.errors import DataError, ExportError, NetError, layer_message
from caffelite.graph.build import build_graph
from caffelite.graph.graph import Graph, Value
from caffelite.graph.state import Entry, State, filter_layers, require_layers
from caffelite.layers.base import Layer
from caffelite.layers.registry import lookup
from caffelite.prototxt.source import NetSource
from caffelite.types import Shape

_ANSWERS = {
    "SoftmaxWithLoss": "Softmax",
    "SoftmaxWithLossOHEM": "Softmax",
    "InfogainLoss": "Softmax",
    "SigmoidCrossEntropyLoss": "Sigmoid",
}
_MEASURES = {"Accuracy", "SegAccuracy", "DetectionEvaluate", "HDF5Output"}


@dataclass
class Deployed:
    """The net, what was changed, and the blobs that nothing reads any more because a loss or an accuracy did."""

    source: NetSource
    notes: list[str] = field(default_factory=list)
    freed: set[str] = field(default_factory=set)

    def outputs(self, graph: Graph) -> list[str]:
        """The outputs, in Caffe's order: blobs that nothing reads, but no inputs and no labels.

        What only a loss read is an output if a layer with parameters had a part in it; labels come from data alone.
        """
        learned = _learned(graph)
        return [
            name
            for name in graph.outputs
            if name not in graph.inputs and (name not in self.freed or graph.blobs[name] in learned)
        ]


def deploy(
    source: NetSource, state: State, shapes: Mapping[str, Shape], batch: int | None = None
) -> Deployed:
    """The deployed form of a net for a state.

    ``shapes`` are those of inputs and of the tops of data layers; a data layer without one is asked, which needs its
    data. ``batch`` replaces the first size of all inputs.

    Raises ExportError if what is left reads a loss, NetError for what is wrong with the net itself.
    """
    entries, _ = filter_layers(source, state)
    require_layers(source, state, entries)
    result = Deployed(source)
    known = _known_shapes(source, state, entries, shapes)
    kept = [
        entry for entry in (_deployed(entry, entries, known, batch, result) for entry in entries) if entry
    ]
    _check_reads(entries, kept)
    result.freed = _bottoms(entries) - _bottoms(kept)
    message = type(source.message)()
    message.CopyFrom(source.message)
    message.ClearField("layer")
    message.ClearField("state")
    message.layer.extend(entry.message for entry in kept)
    result.source = NetSource(message, [entry.where for entry in kept], source.file)
    return result


def _deployed(
    entry: Entry, entries: list[Entry], shapes: Mapping[str, Shape], batch: int | None, result: Deployed
) -> Entry | None:
    layer = type(entry.message)()
    layer.CopyFrom(entry.message)
    for rules in ("include", "exclude"):
        layer.ClearField(rules)
    cls = _class(layer.type)
    if _is_data(layer, cls):
        _make_input(layer, shapes, batch, result)
    elif layer.type in _ANSWERS:
        _make_answer(layer, entries, result)
    elif layer.type in _MEASURES or (cls is not None and cls.loss):
        result.notes.append(f"layer '{layer.name}' ({layer.type}) is left out")
        return None
    return Entry(layer, entry.where)


def _class(type_: str) -> type[Layer] | None:
    """The class of a layer type; None for an unknown one, which the graph will complain about."""
    try:
        return lookup(type_)
    except NetError:
        return None


def _is_data(layer: Any, cls: type[Layer] | None) -> bool:
    return cls is not None and cls.source and not layer.bottom


# -- data becomes inputs ------------------------------------------------------------------------------------


def _known_shapes(
    source: NetSource, state: State, entries: list[Entry], given: Mapping[str, Shape]
) -> dict[str, Shape]:
    """Shapes of the tops of Input and data layers; data layers are opened only if none of theirs is given."""
    layers = [entry.message for entry in entries if _is_data(entry.message, _class(entry.message.type))]
    tops = {top for layer in layers for top in layer.top}
    for name in given:
        if name not in tops:
            raise NetError(f"shape of '{name}': expected an input or a top of a data layer, {_few(tops)}")
    known: dict[str, Shape] = {}
    for layer in layers:
        shapes = [tuple(shape.dim) for shape in layer.input_param.shape]
        known |= zip(layer.top, shapes * len(layer.top) if len(shapes) == 1 else shapes, strict=False)
    if any(layer.type != "Input" and not any(top in given for top in layer.top) for layer in layers):
        known |= _shapes_of_data(without_data(source, given), state)
    return known | dict(given)


def _shapes_of_data(source: NetSource, state: State) -> dict[str, Shape]:
    try:
        graph = build_graph(source, state=state)
    except DataError as error:
        start = "; or" if "\n  Fix: " in str(error) else "\n  Fix:"
        raise DataError(f"{error}{start} tell the sizes of the data (--shape data=N,C,H,W)") from error
    try:
        return {value.name: value.shape for node in graph.nodes if node.layer.source for value in node.tops}
    finally:
        for node in graph.nodes:
            node.layer.close()


def without_data(source: NetSource, shapes: Mapping[str, Shape]) -> NetSource:
    """The net with an Input layer in place of each data layer that has a top in ``shapes``."""
    message = type(source.message)()
    message.CopyFrom(source.message)
    for layer in message.layer:
        if _is_data(layer, _class(layer.type)) and any(top in shapes for top in layer.top):
            _make_input(layer, shapes, None, None)
    return NetSource(message, source.origins, source.file, source.notes)


def _make_input(layer: Any, shapes: Mapping[str, Shape], batch: int | None, result: Deployed | None) -> None:
    """Makes a data layer an Input; labels, whose shape nobody gave, have one number an item."""
    if layer.type != "Input" and result is not None:
        tops = ", ".join(f"'{top}'" for top in layer.top)
        result.notes.append(f"layer '{layer.name}' ({layer.type}) became inputs: {tops}")
    items = next((shapes[top][:1] for top in layer.top if top in shapes), (0,))
    layer.type = "Input"
    layer.ClearField("input_param")
    for top in layer.top:
        shape = shapes.get(top, items)
        if 0 in shape:
            raise ExportError(
                f"input '{top}' of layer '{layer.name}' has no size\n  Fix: give it one (--shape {top}=1,3,224,224)"
            )
        first = shape[:1] if batch is None or not shape else (batch,)
        layer.input_param.shape.add().dim.extend((*first, *shape[1:]))


# -- losses go ------------------------------------------------------------------------------------------------


def _make_answer(layer: Any, entries: list[Entry], result: Deployed) -> None:
    """Makes a loss the layer inside it that a user of the trained net wants: a Softmax with top ``prob``."""
    names = {top for entry in entries for top in entry.message.top}
    losses = sum(entry.message.type == layer.type for entry in entries)
    top = (
        "prob" if losses == 1 and "prob" not in names else f"{layer.top[0] if layer.top else layer.name}_prob"
    )
    top = layer.top[1] if len(layer.top) > 1 else top
    answer = type(layer)(name=layer.name, type=_ANSWERS[layer.type], bottom=layer.bottom[:1], top=[top])
    result.notes.append(f"layer '{layer.name}' ({layer.type}) became a {answer.type} with output '{top}'")
    axis = layer.infogain_loss_param if layer.type == "InfogainLoss" else layer.softmax_param
    if answer.type == "Softmax":
        answer.softmax_param.axis = axis.axis
    layer.CopyFrom(answer)


def _check_reads(entries: list[Entry], kept: list[Entry]) -> None:
    made = {top for entry in kept for top in entry.message.top}
    lost = {top: entry.message for entry in entries for top in entry.message.top if top not in made}
    for entry in kept:
        for bottom in entry.message.bottom:
            if bottom in lost:
                layer, loss = entry.message, lost[bottom]
                raise ExportError(
                    layer_message(
                        layer.name, layer.type, entry.where.at("bottom"),
                        f"reads '{bottom}' of layer '{loss.name}' ({loss.type}), which is left out of deployed nets",
                        fix="export a net without the two",
                    )
                )  # fmt: skip


def _bottoms(entries: Iterable[Entry]) -> set[str]:
    return {bottom for entry in entries for bottom in entry.message.bottom}


def _learned(graph: Graph) -> set[Value]:
    """Values that a layer with parameters has a part in."""
    learned: set[Value] = set()
    for node in graph.nodes:
        if node.params or learned.intersection(node.bottoms):
            learned.update(node.tops)
    return learned


def _few(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names)) or "of which there are none"
