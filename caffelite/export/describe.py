"""Sizes and names of a model's tensors, as its file tells them."""

from __future__ import annotations

from caffelite.export.proto import Description, Dims
from caffelite.export.tensors import Tensor
from caffelite.export.trace import Trace
from caffelite.graph.graph import Graph, Value
from caffelite.layers.base import measures


def describe(graph: Graph, traced: Trace, symbol: str, items: int, opset: int) -> Description:
    """The description of a traced net; ``symbol`` is the word for a batch of any size, which is ``items`` now.

    What comes of a layer that decides its sizes in each pass has none.
    """
    loose: set[Value] = set()
    for node in graph.nodes:
        if measures(node.layer) or loose.intersection(node.bottoms):
            loose.update(node.tops)
    dims: dict[Tensor, Dims] = {}
    for value, sizes in traced.dims.items():
        known = tuple(_dim(size, true, items, symbol) for size, true in zip(sizes, value.shape, strict=True))
        dims.setdefault(traced.tensors[value], (None,) * len(known) if value in loose else known)
    return Description(graph.name, dims, _renamed(graph, traced), opset)


def _dim(size: int, true: int, items: int, symbol: str) -> int | str | None:
    """A size; one that follows the batch is its word, or the word with a factor."""
    if size != -1:
        return size
    if true % items:
        return None
    return symbol if true == items else f"{symbol}_x_{true // items}"


def _renamed(graph: Graph, traced: Trace) -> dict[str, str]:
    """The blobs that are another blob's tensor."""
    there = {*traced.draft.inputs, *(tensor for op in traced.draft.ops for tensor in op.outputs)}
    blobs = {name: traced.tensors[value] for name, value in graph.blobs.items()}
    return {name: tensor.name for name, tensor in blobs.items() if tensor in there and tensor.name != name}
