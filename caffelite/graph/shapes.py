"""Runs each layer's ``infer`` once and checks what comes out: the only place where shapes are computed."""

from __future__ import annotations

from collections.abc import Mapping

from caffelite.errors import ShapeError, layer_message
from caffelite.graph.graph import Node
from caffelite.layers.base import measures
from caffelite.types import Shape, count

MAX_COUNT = 2**31 - 1  # Caffe's limit for a blob, and a guard against a slip of the pen


def infer_node(node: Node, given: Mapping[str, Shape]) -> None:
    """Sets the shapes of a node's tops. ``given`` overrides the tops of layers that make data by themselves or measure.

    Raises ShapeError for negative sizes or more than 2^31 - 1 elements, and whatever the layer raises.
    """
    shapes = node.layer.infer([value.shape for value in node.bottoms])
    if len(shapes) < len(node.tops):
        raise node.layer.error(f"at most {len(shapes)} tops", len(node.tops))
    for value, shape in zip(node.tops, shapes, strict=False):
        free = node.layer.source or measures(node.layer)
        value.shape = tuple(int(dim) for dim in (given.get(value.name, shape) if free else shape))
        _check(node, value.name, value.shape)
    _check_inplace(node)
    for param in node.layer.params:
        _check(node, param.name, param.shape)
    for saved in node.layer.saved:
        _check(node, saved.name, saved.shape)


def _check_inplace(node: Node) -> None:
    """Caffe dies on some of these and lets others overwrite what they still read."""
    for bottom, top in node.inplace_pairs():
        if top.shape != bottom.shape:
            raise node.layer.shape_error(
                f"a top of the bottom's shape to overwrite '{top.name}' in place", f"{bottom.shape} -> {top.shape}",
                f'give it a top of its own, such as top: "{node.name}"',
            )  # fmt: skip


def _check(node: Node, name: str, shape: Shape) -> None:
    layer = node.layer
    if any(dim < 0 for dim in shape):
        raise layer.shape_error(f"sizes of at least 0 for '{name}'", shape)
    if count(shape) > MAX_COUNT:
        gib = count(shape) * 4 / 2**30
        raise ShapeError(
            layer_message(
                layer.name, layer.type, layer.location(), f"expected at most {MAX_COUNT} elements in '{name}'",
                f"shape {shape}, which is {gib:,.0f} GiB in float32", "check num_output, shape and batch_size",
            )
        )  # fmt: skip
