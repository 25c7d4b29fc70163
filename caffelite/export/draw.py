"""Random inputs for a net, in the range that their readers take."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from caffelite.export.tensors import Array
from caffelite.graph.graph import Graph, Node, Value

_Draw = Callable[[np.random.Generator, Value, Node], Array]


def draw_inputs(graph: Graph, seed: int) -> dict[str, Array]:
    """A float32 array for each input: uniform from -1 to 1, or indices, regions and marks where a layer reads such."""
    rng = np.random.default_rng(seed)
    inputs = {name: graph.blobs[name] for name in graph.inputs}
    return {name: _drawn(rng, value).astype(np.float32) for name, value in inputs.items()}


def _drawn(rng: np.random.Generator, value: Value) -> Array:
    for node, position in _readers(value):
        rule = _RULES.get((node.type, position))
        if rule is not None:
            return rule(rng, value, node)
    return rng.uniform(-1, 1, value.shape)


def _readers(value: Value) -> Iterator[tuple[Node, int]]:
    """The layers that read a value, and as which bottom; behind Splits too."""
    node = value.reader
    if node is not None and node.type == "Split":
        for top in node.tops:
            yield from _readers(top)
    elif node is not None:
        yield node, node.bottoms.index(value)


def _rows(rng: np.random.Generator, value: Value, node: Node) -> Array:
    return rng.integers(0, node.layer.p.input_dim, value.shape)


def _items(rng: np.random.Generator, value: Value, node: Node) -> Array:
    return rng.integers(0, node.bottoms[0].shape[0], value.shape)


def _marks(rng: np.random.Generator, value: Value, node: Node) -> Array:
    """Zeros and ones: where sequences go on, which items are kept."""
    return rng.integers(0, 2, value.shape)


def _regions(rng: np.random.Generator, value: Value, node: Node) -> Array:
    """Rows of item, x1, y1, x2, y2 within the image that the features were made of."""
    items, _, height, width = node.bottoms[0].shape
    ends = np.array([width, height]) / node.layer.p.spatial_scale
    corners = np.sort(rng.uniform(0, 1, (value.shape[0], 2, 2)), axis=1) * (ends - 1)
    item = rng.integers(0, items, (value.shape[0], 1))
    return np.hstack([item, corners.reshape(-1, 4)]).reshape(value.shape)


_RULES: dict[tuple[str, int], _Draw] = {
    ("Embed", 0): _rows,
    ("BatchReindex", 1): _items,
    ("Filter", 1): _marks,
    ("LSTM", 1): _marks,
    ("RNN", 1): _marks,
    ("LSTMUnit", 2): _marks,
    ("ROIPooling", 1): _regions,
}
