"""Nets as the verbs read them: the file, its phase, and shapes given in place of data that is not at hand."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from caffelite.cli.command import engine_name
from caffelite.cli.flags import Flag, Options
from caffelite.errors import CaffeliteError, DataError, NetError, UsageError
from caffelite.graph.build import build_graph
from caffelite.graph.graph import Graph
from caffelite.graph.problems import NetErrors, Problems
from caffelite.graph.state import State, filter_layers, net_state
from caffelite.layers.base import Layer
from caffelite.layers.registry import lookup
from caffelite.logs.log import get_log
from caffelite.logs.net_lines import log_net, used_text
from caffelite.prototxt.source import NetSource, read_net
from caffelite.prototxt.suggest import suggestion
from caffelite.types import Phase, Shape

if TYPE_CHECKING:
    from caffelite.model import Model

ITERATIONS = Flag("iterations", 50, "number of batches", "N")
SHAPE = Flag(
    "shape",
    "",
    "shapes of inputs, such as data=1,3,224,224; of a data layer's tops too, without its data",
    "SHAPES",
)


def state_of(source: NetSource, options: Options, stages: str = "stage") -> State:
    """The net's state as -phase, -level and -stage ask for; ``stages`` is the flag with the stages."""
    return net_state(source, Phase[options.text("phase")], options.integer("level"), options.items(stages))


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


def graph_of(
    source: NetSource, state: State, shapes: dict[str, Shape], force_backward: bool = False
) -> Graph:
    """The graph of a net. Raises what ``build_graph`` raises, with a hint where data is missing.

    Raises UsageError for the shape of a blob that does not come from outside.
    """
    check_shape_names(shapes, free_tops(source, state))
    try:
        return build_graph(
            without_data(source, shapes), state=state, shapes=shapes, force_backward=force_backward
        )
    except (DataError, NetErrors) as error:
        errors: list[CaffeliteError] = error.errors if isinstance(error, NetErrors) else [error]
        if shapes or not all(isinstance(one, DataError) for one in errors):
            raise
        start = "; or" if "\n  Fix: " in str(error) else "\n  Fix:"
        raise DataError(f"{error}{start} tell what the data would be with --shape data=N,C,H,W") from error


def free_tops(source: NetSource, state: State) -> set[str]:
    """The blobs that come from outside: tops of Input and data layers, those of unknown types included."""
    free = set()
    for entry in filter_layers(source, state, Problems())[0]:
        if _makes_data(entry.message):
            free |= set(entry.message.top)
    return free


def check_shape_names(names: Iterable[str], known: Collection[str]) -> None:
    """Raises UsageError for a ``--shape`` of something that is no input and no top of a data layer."""
    for name in names:
        if name not in known:
            there = suggestion(name, sorted(known)) or f"; there are {', '.join(sorted(known)) or 'none'}"
            raise UsageError(f"--shape: no input or data top '{name}'{there}")


def without_data(source: NetSource, shapes: dict[str, Shape]) -> NetSource:
    """The net with an Input layer in place of each data layer that has a top in ``shapes``.

    Data layers are those that read files, and Python layers and ones of unknown types without bottoms. Tops of such
    a layer whose shape is not given (labels) have one number an item.
    """
    if not shapes:
        return source
    message = type(source.message)()
    message.CopyFrom(source.message)
    for layer in message.layer:
        if layer.type != "Input" and _makes_data(layer) and any(top in shapes for top in layer.top):
            _make_input(layer, shapes)
    return replace(source, message=message)


def _makes_data(layer: Any) -> bool:
    cls = _class(layer.type)
    return not layer.bottom and (cls is None or cls.source or layer.type == "Python")


def _class(type_: str) -> type[Layer] | None:
    """The class of a layer type; None for an unknown one, which the graph will complain about."""
    try:
        return lookup(type_)
    except NetError:
        return None


def _make_input(layer: Any, shapes: dict[str, Shape]) -> None:
    items = next(shapes[top][0] for top in layer.top if top in shapes)
    layer.type = "Input"
    for top in layer.top:
        layer.input_param.shape.add().dim.extend(shapes.get(top, (items,)))


def iterations_of(options: Options) -> int:
    """The value of -iterations. Raises UsageError below 1."""
    iterations = options.integer("iterations")
    if iterations < 1:
        raise UsageError(f"-iterations: expected at least 1, got {iterations}")
    return iterations


def make_model(path: str, phase: Phase, options: Options, *, backward: bool = True) -> Model:
    """The net of a file as the flags for state and engine ask for it, for passes that nobody looks into.

    If gradients are wanted and the net has no loss to start from, all of them are computed.
    """
    from caffelite.model import Model

    source = read_net(path)
    state = State(phase, options.integer("level"), tuple(options.items("stage")))
    return Model(
        source, state=state, engine=engine_name(options), precision=options.text("precision"),
        seed=options.integer("seed"), observe=False, backward=backward,
        force_backward=backward and not _has_loss(source, state),
    )  # fmt: skip


def _has_loss(source: NetSource, state: State) -> bool:
    """Whether any layer counts in a loss."""
    for entry in filter_layers(source, state)[0]:
        weights, cls = entry.message.loss_weight, _class(entry.message.type)
        if any(weights) or (not weights and cls is not None and cls.loss):
            return True
    return False


def log_model(model: Model) -> None:
    """Logs the building of a net as Caffe does."""
    log_net(get_log(), model.graph, used_text(model.source, model.state))
