"""Brings weights of batch normalization from the form of one fork of Caffe into that of another.

A file's BatchNorm may carry scale and bias where the net has a Scale layer behind it, and the other way round;
its blobs may stand in another order, its averages may be sums. What the layers compute together stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from caffelite.errors import NetError
from caffelite.graph.graph import Node
from caffelite.layers.batch_norm import BatchNorm
from caffelite.layers.bn import BN
from caffelite.types import count
from caffelite.weights import LayerWeights
from caffelite.weights.batch_norm import Normalization, read_normalization
from caffelite.weights.blob import Blob


def adapt_normalizations(
    weights: Sequence[LayerWeights], nodes: Mapping[str, Node], path: str, done: list[str]
) -> list[LayerWeights]:
    """The layers of a file with those converted that are a BatchNorm or BN in the net.

    ``done`` gets a line for each layer that was. Raises NetError where there is no place for a scale and bias.
    """
    adapter = _Adapter(weights, nodes, path)
    for index, entry in enumerate(weights):
        node = nodes.get(entry.name)
        if node is None or not isinstance(node.layer, BatchNorm | BN) or not entry.blobs:
            continue
        said: list[str] = []
        adapter.entries[index] = _shaped(adapter.converted(index, node, said), node)
        if said:
            done.append(f"{entry.name}: {', '.join(said)}")
    return [entry for index, entry in enumerate(adapter.entries) if index not in adapter.taken]


class _Adapter:
    """A weights file beside the net that it is loaded into. ``taken``: positions of layers that another took in."""

    def __init__(self, weights: Sequence[LayerWeights], nodes: Mapping[str, Node], path: str):
        self.weights, self.nodes, self.path = weights, nodes, path
        self.entries = list(weights)
        self.taken: set[int] = set()
        self._given = {entry.name for entry in weights if entry.blobs}

    def converted(self, index: int, node: Node, said: list[str]) -> LayerWeights:
        """The entry in the form of the net's layer. Says what was done. Raises NetError."""
        entry = self.weights[index]
        names = [spec.name for spec in node.layer.params]
        found = read_normalization(entry.type, entry.blobs)
        if found is None or "mean" not in names:
            return entry
        if found.old_order or ("factor" in found.order) != ("factor" in names):
            said.append(f"blobs brought into the order of {node.type}")
        if "scale" not in names:
            self._give_scale(found, node, said)
        elif found.scale is None:
            found = self._take_scale(found, index, node, said)
        if names == ["mean", "variance", "factor", "scale"] and found.bias is not None and np.any(found.bias):
            raise self._no_place(node, "a bias, and the layer has bias_term: false")
        if ("factor" not in names or cast(BatchNorm, node.layer).averages) and found.factor not in (0, 1):
            said.append("averages divided by their factor")
            found = found.averages()
        blobs: list[Blob | None] = [_part(found, name) for name in names]
        return replace(entry, blobs=blobs, legacy=[False] * len(blobs), diffs=[], partial=False)

    def _give_scale(self, found: Normalization, node: Node, said: list[str]) -> None:
        """Leaves the scale and bias of the file's BatchNorm to the net's Scale layer behind it."""
        if found.scale is None:
            return
        reader = node.tops[0].reader
        if reader is not None and reader.name not in self._given and _can_hold(reader, found):
            shapes = [use.spec.shape for use in reader.params]
            parts = [
                _part(found, name).reshape(shape)
                for name, shape in zip(("scale", "bias"), shapes, strict=False)
            ]
            self.entries.append(LayerWeights(reader.name, reader.type, [*parts], [False] * len(parts)))
            said.append(f"scale and bias given to Scale layer '{reader.name}'")
        elif found.trivial:
            said.append("its scale of 1 and bias of 0 left out")
        else:
            raise self._no_place(node, "scale and bias, which need a Scale layer behind it")

    def _take_scale(self, found: Normalization, index: int, node: Node, said: list[str]) -> Normalization:
        """Takes in the file's Scale layer behind its BatchNorm; if there is none, what changes nothing."""
        at, channels = self._scale_behind(index), found.mean.size
        if at is None:
            self._refuse_doubt(index, node, channels)
            said.append("scale 1 and bias 0, as it had none")
            return replace(found, scale=np.ones(channels, np.float32))
        source = self.weights[at]
        scale, *bias = [blob.reshape(-1) for blob in source.blobs if blob is not None]
        if scale.size != channels:
            raise self._no_place(node, f"a Scale layer '{source.name}' of {scale.size} values behind it")
        self.taken.add(at)
        said.append(f"scale and bias taken from Scale layer '{source.name}'")
        return replace(found, scale=scale, bias=bias[0] if bias else None)

    def _scale_behind(self, index: int) -> int | None:
        """The position of the Scale layer that alone reads the top of layer ``index``, if the net lacks it."""
        top = self.weights[index].tops[:1]
        for at, entry in enumerate(self.weights[index + 1 :], start=index + 1):
            if top and entry.bottoms == top:
                taken = entry.type == "Scale" and entry.blobs and entry.name not in self.nodes
                return at if taken else None
        return None

    def _refuse_doubt(self, index: int, node: Node, channels: int) -> None:
        """Raises NetError if a scale may be in the file and nothing says what it belongs to (HDF5)."""
        unknown = [entry for entry in self.weights if entry.blobs and entry.name not in self.nodes]
        sizes = [blob.size for entry in unknown for blob in entry.blobs[:1] if blob is not None]
        if not self.weights[index].tops and channels in sizes:
            raise NetError(
                f"weights '{self.path}' -> layer '{node.name}' ({node.type}): the file does not say which layer's "
                "scale belongs to it\n  Fix: load the .caffemodel, which does, or use BatchNorm and Scale layers in the net"
            )

    def _no_place(self, node: Node, what: str) -> NetError:
        layer = node.layer
        return NetError(
            f"weights '{self.path}' -> layer '{layer.name}' ({layer.type}) at {layer.location()}: the file has {what}\n"
            "  Fix: put a Scale layer with bias_term: true behind it, or set scale_bias: true in batch_norm_param"
        )


def _part(found: Normalization, name: str) -> Blob:
    """A blob by the name of the layer's param."""
    if name == "factor":
        return np.array([found.factor], np.float32)
    blob = getattr(found, "bias" if name == "shift" else name)
    return np.zeros_like(found.mean) if blob is None else blob


def _can_hold(reader: Node, found: Normalization) -> bool:
    """Whether a layer is a Scale layer with room for a scale and, where there is one, a bias."""
    sizes = [count(use.spec.shape) for use in reader.params]
    if reader.type != "Scale" or len(reader.bottoms) != 1 or set(sizes) != {found.mean.size}:
        return False
    return len(sizes) == 2 or found.bias is None or not np.any(found.bias)


def _shaped(entry: LayerWeights, node: Node) -> LayerWeights:
    """Blobs in the shapes of the layer's params where only axes of size 1 differ."""
    specs = node.layer.params
    if len(specs) != len(entry.blobs):
        return entry
    blobs = [
        blob.reshape(spec.shape) if blob is not None and _long(blob.shape) == _long(spec.shape) else blob
        for blob, spec in zip(entry.blobs, specs, strict=True)
    ]
    return replace(entry, blobs=blobs, legacy=[False] * len(blobs))


def _long(shape: Sequence[int]) -> list[int]:
    """The sizes other than 1."""
    return [size for size in shape if size != 1]
