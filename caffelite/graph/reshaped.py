"""A graph with other shapes from outside: wires and parameters stay, only layers that see other shapes are made anew."""

from __future__ import annotations

from collections.abc import Mapping

from caffelite.graph.gradients import set_gradients
from caffelite.graph.graph import Graph, Node, Value
from caffelite.graph.shapes import infer_node
from caffelite.layers.base import Layer, measures
from caffelite.types import Shape


def reshaped(graph: Graph, shapes: Mapping[str, Shape]) -> Graph | None:
    """What ``build_graph`` makes of the net with these ``shapes``, or None if a layer's parameters change theirs.

    Raises what the first layer raises that cannot take them; ``build_graph`` then finds all that is wrong.
    """
    result = Graph(graph.name, graph.phase, [], graph.force_backward, list(graph.notes))
    values: dict[Value, Value] = {}
    for old in graph.nodes:
        node = _copied(old, values)
        stays = all(new.shape == value.shape for new, value in zip(node.bottoms, old.bottoms, strict=True))
        if stays and not (node.layer.source or measures(node.layer)):
            for new, value in zip(node.tops, old.tops, strict=True):
                new.shape = value.shape
        else:
            node.layer = _twin(old.layer)
            infer_node(node, shapes)
            if [spec.shape for spec in node.layer.params] != [use.spec.shape for use in old.params]:
                return None
        result.nodes.append(node)
    set_gradients(result)
    return result


def _copied(old: Node, values: dict[Value, Value]) -> Node:
    """The node with values of its own, those of the bottoms from ``values``; its tops' shapes are yet to come."""
    bottoms = tuple(values[value] for value in old.bottoms)
    node = Node(old.index, old.layer, old.key, bottoms, params=old.params, store=old.store)
    for value in bottoms:
        value.reader = node
    for top in old.tops:
        values[top] = Value(top.name, top.version, (), node, loss_weight=top.loss_weight, visible=top.visible)
    node.tops = tuple(values[top] for top in old.tops)
    return node


def _twin(layer: Layer) -> Layer:
    """The layer before its shapes were inferred."""
    return type(layer)(layer.spec, layer.phase, layer.where, layer.session, layer.random)
