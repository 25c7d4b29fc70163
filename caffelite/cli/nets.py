"""Nets as the verbs read them: the file, its phase, and shapes given in place of data that is not at hand."""

from __future__ import annotations

from typing import Any

from caffelite.cli.flags import Flag, Options
from caffelite.errors import CaffeliteError, DataError, UsageError
from caffelite.graph.build import build_graph
from caffelite.graph.graph import Graph
from caffelite.graph.problems import NetErrors
from caffelite.graph.state import State
from caffelite.layers.registry import lookup
from caffelite.prototxt.source import NetSource
from caffelite.types import Phase, Shape

SHAPE = Flag("shape", "", "shapes of inputs, such as data=1,3,224,224; of a data layer's tops too, without its data", "SHAPES")


def state_of(options: Options, stages: str = "stage") -> State:
    """The state that -phase, -level and -stage ask for; ``stages`` is the flag with the stages."""
    return State(Phase[options.text("phase")], options.integer("level"), tuple(options.items(stages)))


def shapes_of(options: Options) -> dict[str, Shape]:
    """The shapes of ``--shape data=1,3,224,224,label=1``. Raises UsageError."""
    shapes: dict[str, Shape] = {}
    name = ""
    for part in options.items("shape"):
        if "=" in part:
            name, _, part = part.partition("=")
        if not name or not part.isdecimal():
            raise UsageError(f"--shape: expected NAME=N,C,H,W, got '{options.text('shape')}'")
        shapes[name] = (*shapes.get(name, ()), int(part))
    return shapes


def graph_of(source: NetSource, state: State, shapes: dict[str, Shape], force_backward: bool = False) -> Graph:
    """The graph of a net. Raises what ``build_graph`` raises, with a hint where it is data that is missing."""
    try:
        return build_graph(without_data(source, shapes), state=state, shapes=shapes, force_backward=force_backward)
    except (DataError, NetErrors) as error:
        errors: list[CaffeliteError] = error.errors if isinstance(error, NetErrors) else [error]
        if shapes or not all(isinstance(one, DataError) for one in errors):
            raise
        raise DataError(f"{error}\n  Fix: --shape data=N,C,H,W tells what the data would be") from error


def without_data(source: NetSource, shapes: dict[str, Shape]) -> NetSource:
    """The net with an Input layer in place of each data layer that has a top in ``shapes``.

    Tops of such a layer whose shape is not given (labels) have one number an item.
    """
    if not shapes:
        return source
    message = type(source.message)()
    message.CopyFrom(source.message)
    for layer in message.layer:
        if any(top in shapes for top in layer.top) and lookup(layer.type, name=layer.name).source:
            _make_input(layer, shapes)
    return NetSource(message, source.origins, source.file, source.notes)


def _make_input(layer: Any, shapes: dict[str, Shape]) -> None:
    items = next(shapes[top][0] for top in layer.top if top in shapes)
    layer.type = "Input"
    for top in layer.top:
        layer.input_param.shape.add().dim.extend(shapes.get(top, (items,)))
