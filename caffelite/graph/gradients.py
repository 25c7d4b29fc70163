"""Which nodes run backward and which gradients they write.

Source: the three passes of ``Net::Init`` in BVLC Caffe's ``net.cpp``: what needs a gradient (forward order),
what stands under a loss (backward order), and ``force_backward``.
"""

from __future__ import annotations

from caffelite.errors import NetError, layer_message
from caffelite.graph.graph import Graph, Node, Value
from caffelite.graph.wiring import assign
from caffelite.layers.base import Layer, argument_names, has_backward


def set_gradients(graph: Graph) -> None:
    """Fills in ``propagate``, ``backward`` and ``learn`` of all nodes."""
    _need(graph)
    _under_loss(graph)
    if graph.force_backward:
        _force(graph)
    for node in graph.nodes:
        _keep_possible(node)


def check_propagate_down(node: Node) -> None:
    """Raises NetError unless there is no propagate_down or one for each bottom."""
    asked = node.layer.spec.propagate_down
    if asked and len(asked) != len(node.bottoms):
        raise NetError(
            layer_message(
                node.name, node.type, node.layer.location("propagate_down"),
                f"expected no propagate_down or one for each of {len(node.bottoms)} bottoms", str(len(asked)),
            )
        )  # fmt: skip


def _need(graph: Graph) -> None:
    wanted: set[Value] = set()
    for node in graph.nodes:
        asked = node.layer.spec.propagate_down
        node.propagate = tuple(asked) if asked else tuple(value in wanted for value in node.bottoms)
        for use in node.params:
            use.learn = use.root.lr_mult != 0 and use.spec.learnable
        node.backward = any(value in wanted for value in node.bottoms) or any(
            use.learn for use in node.params
        )
        node.backward = node.backward or any(node.propagate)
        if node.backward:
            wanted.update(node.tops)


def _under_loss(graph: Graph) -> None:
    under, skipped = set[Value](), set[Value]()
    for node in reversed(graph.nodes):
        counts = any(value.loss_weight or value in under for value in node.tops)
        if not counts or all(value in skipped for value in node.tops):
            node.backward = False
            node.propagate = (False,) * len(node.bottoms)
        if counts:
            under.update(node.bottoms)
        skipped.update(
            value for value, wanted in zip(node.bottoms, node.propagate, strict=True) if not wanted
        )


def _force(graph: Graph) -> None:
    for node in graph.nodes:
        allowed = _forceable(node.layer, len(node.bottoms))
        node.propagate = tuple(old or new for old, new in zip(node.propagate, allowed, strict=True))
        node.backward = True
        for use in node.params:
            use.learn = use.spec.learnable


def _forceable(layer: Layer, bottoms: int) -> list[bool]:
    return [name not in layer.unforced for name in _bottom_names(layer, bottoms)]


def _keep_possible(node: Node) -> None:
    """A layer passes only the gradients that it names; a node with nothing to write does not run."""
    named = argument_names(node.layer.backward) if has_backward(node.layer) else ()  # type: ignore[attr-defined]
    names = _bottom_names(node.layer, len(node.bottoms))
    node.propagate = tuple(
        asked and f"d{name}" in named for asked, name in zip(node.propagate, names, strict=True)
    )
    if not named:
        for use in node.params:
            use.learn = False
    node.backward = node.backward and (any(node.propagate) or any(use.learn for use in node.params))
    if not node.backward:
        node.propagate = (False,) * len(node.bottoms)


def _bottom_names(layer: Layer, bottoms: int) -> list[str]:
    """The declared name of each bottom, without marks."""
    names = [""] * bottoms
    for name, at in assign(layer.bottoms, list(range(bottoms))).items():
        for position in at if isinstance(at, list) else [] if at is None else [at]:
            names[position] = name
    return names
