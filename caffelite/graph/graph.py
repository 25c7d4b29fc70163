"""The graph of a net: nodes, the values between them, and what each gradient needs.

A blob name may be written several times (in-place layers); each write is a new *version* of a value, printed
``ip1@0``, ``ip1@1``. Splits are nodes, so every value has at most one reader and gradients never add up in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from caffelite.layers.base import Layer, ParamSpec
from caffelite.types import Phase, Shape, shape_text


@dataclass(eq=False)
class Value:
    """One version of a blob."""

    name: str
    version: int
    shape: Shape
    producer: Node
    reader: Node | None = None
    loss_weight: float = 0.0
    visible: bool = True  # False for anonymous tops

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(eq=False)
class ParamUse:
    """A learnable blob as a layer uses it. ``owner`` is the first user of a shared one, itself if not shared.

    ``layer`` is what the layer's params are kept under, see ``Node.store``.
    """

    layer: str
    index: int
    spec: ParamSpec
    lr_mult: float
    decay_mult: float
    shared_name: str = ""
    owner: ParamUse | None = None
    has_lr: bool = False  # written in the prototxt, so that sharers must agree
    has_decay: bool = False
    learn: bool = True  # its gradient is computed

    @property
    def root(self) -> ParamUse:
        return self.owner or self


@dataclass(eq=False)
class Node:
    """One layer at its place in the net."""

    index: int
    layer: Layer
    key: str  # the layer's name, made unique: Caffe lets layers have one name
    bottoms: tuple[Value, ...]
    tops: tuple[Value, ...] = ()
    params: tuple[ParamUse, ...] = ()
    store: str = ""  # what its params are kept under: the name, unless an earlier layer with params has it
    propagate: tuple[bool, ...] = ()  # for each bottom: does backward write its gradient?
    backward: bool = False  # does backward run at all?

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def type(self) -> str:
        return self.layer.type

    def inplace_pairs(self) -> Iterator[tuple[Value, Value]]:
        """Bottoms and tops that are two versions of one blob."""
        for bottom in self.bottoms:
            for top in self.tops:
                if top.name == bottom.name and top.version == bottom.version + 1:
                    yield bottom, top


@dataclass(eq=False)
class Graph:
    """A net for one phase with all shapes known."""

    name: str
    phase: Phase
    nodes: list[Node]
    force_backward: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def values(self) -> list[Value]:
        return [value for node in self.nodes for value in node.tops]

    @property
    def blobs(self) -> dict[str, Value]:
        """The last version of each named blob, in order of first appearance."""
        return {value.name: value for value in self.values}

    @property
    def inputs(self) -> list[str]:
        """Tops of Input layers, in order."""
        return [value.name for node in self.nodes if node.type == "Input" for value in node.tops]

    @property
    def outputs(self) -> list[str]:
        """Blobs that nothing reads, in alphabetical order (as Caffe's std::set gives them)."""
        return sorted({v.name for v in self.values if v.reader is None and v.visible})

    @property
    def params(self) -> list[ParamUse]:
        """Owned parameters in order: what a solver updates and a snapshot's history follows."""
        return [use for node in self.nodes for use in node.params if use.owner is None]

    def node(self, name: str) -> Node | None:
        """The node of a layer name."""
        return next((node for node in self.nodes if node.name == name), None)

    def close(self) -> None:
        """Stops the data workers of its layers and closes their files."""
        for node in self.nodes:
            node.layer.close()

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(graph: Graph) -> Iterator[str]:
    yield f"net '{graph.name}' phase {graph.phase.name}: {len(graph.nodes)} layers, {len(graph.params)} params"
    width = max((len(node.name) for node in graph.nodes), default=4)
    for node in graph.nodes:
        bottoms = " ".join(
            _bottom(value, wanted) for value, wanted in zip(node.bottoms, node.propagate, strict=True)
        )
        tops = " ".join(_top(value) for value in node.tops)
        back = "<-" if node.backward else "  "
        yield f"{node.index:>3} {node.name:<{width}} {node.type:<18} {back} {bottoms or '-'} -> {tops or '-'}"
        for use in node.params:
            yield f"    {'':<{width}} {_param(use)}"
    yield f"outputs: {' '.join(graph.outputs) or '-'}"
    yield from (f"note  {note}" for note in graph.notes)


def _bottom(value: Value, wanted: bool) -> str:
    return f"{value}'" if wanted else str(value)


def _top(value: Value) -> str:
    weight = f" *{value.loss_weight:g}" if value.loss_weight else ""
    return f"{value} ({' '.join(map(str, value.shape))}){weight}"


def _param(use: ParamUse) -> str:
    shared = f" = {use.owner.layer}[{use.owner.index}]" if use.owner else ""
    learn = "" if use.learn else " fixed"
    return f"{use.spec.name} {shape_text(use.spec.shape)} lr {use.root.lr_mult:g} decay {use.root.decay_mult:g}{learn}{shared}"
