"""Puts named arrays from a weights file into a net's parameters, by layer name, and reports what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Protocol

from caffelite.dialects import adapt_normalizations
from caffelite.errors import NetError, WeightsError
from caffelite.graph.graph import Node
from caffelite.params import Array, Param
from caffelite.types import shape_text
from caffelite.weights import LayerWeights, shapes_match
from caffelite.weights.blob import decode_blob
from caffelite.weights.wire import Reader


class Loadable(Protocol):
    """What weights are loaded into."""

    @property
    def nodes(self) -> Sequence[Node]: ...
    @property
    def params(self) -> Mapping[str, list[Param]]: ...


@dataclass
class LoadReport:
    """What loading did: layers that took weights, layers of the file without a place, layers left as they were."""

    path: str
    loaded: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # in the file, with blobs, but not in the net
    initial: list[str] = field(default_factory=list)  # in the net, with params, but not in the file
    converted: list[str] = field(
        default_factory=list
    )  # "layer: what was done", from one fork's form to another's

    def __str__(self) -> str:
        parts = [f"{self.path}: {len(self.loaded)} layers loaded"]
        for what, names in (("not in the net", self.skipped), ("left at their initial values", self.initial)):
            if names:
                parts.append(f"{len(names)} {what} ({_few(names)})")
        if self.converted:
            parts.append(f"{len(self.converted)} converted ({_few(self.converted, 2, '; ')})")
        return ", ".join(parts)


def load_params(net: Loadable, weights: Sequence[LayerWeights], path: str) -> LoadReport:
    """Copies weights into a net whose layers have the same names.

    Types are not compared, as in Caffe. Nothing is copied unless all of it fits. Weights of batch normalization are
    brought into the form that the net's layers have (see :mod:`caffelite.dialects`). Raises NetError if a layer has
    another number of blobs or another shape, with both and what to do.
    """
    report = LoadReport(path)
    nodes = {node.store: node for node in sorted(net.nodes, key=lambda node: bool(node.params))}
    weights = adapt_normalizations(numbered(weights, nodes), nodes, path, report.converted)
    found = _found(net, weights, nodes, report)
    if weights and not found and any(net.params.values()):
        raise WeightsError(
            f"'{path}': no layer of this file is in the net; the file has {_few([w.name for w in weights])}, "
            f"the net has {_few(list(net.params))}\n  Fix: weights are matched by layer name; is this the net's own file?"
        )
    for param, array in found:
        param.load(array)
    filled = {param.identity for param, _ in found}  # shared params too, of which HDF5 names the owner alone
    report.initial = [
        name
        for name, params in net.params.items()
        if params and filled.isdisjoint(param.identity for param in params)
    ]
    return report


def _found(
    net: Loadable, weights: Sequence[LayerWeights], nodes: Mapping[str, Node], report: LoadReport
) -> list[tuple[Param, Array]]:
    """The params that the file has an array for; reports the layers that they belong to, and those without a place."""
    with_blobs = {entry.name for entry in weights if entry.blobs}
    found: list[tuple[Param, Array]] = []
    for entry in weights:
        if not entry.blobs and entry.name in with_blobs:
            continue  # a layer without parameters, such as a ReLU, that has the name of one with some
        if entry.name not in nodes:
            if entry.blobs:
                report.skipped.append(entry.name)
            continue
        pairs = _pairs(entry, nodes[entry.name], net.params.get(entry.name, []), report.path)
        if pairs:
            found += pairs
            report.loaded.append(entry.name)
    return found


def check_shared(node: Node, theirs: list[Param]) -> None:
    """Raises ShapeError unless a layer has the params of its namesake in the net that it shares them with."""
    ours, other = [use.spec.shape for use in node.params], [param.shape for param in theirs]
    if ours != other:
        raise node.layer.shape_error(
            f"params of shapes {', '.join(map(shape_text, other))}, which the layer of this name has in the other net",
            ", ".join(map(shape_text, ours)),
            "give both the same sizes, or this layer another name",
        )


def numbered(weights: Sequence[LayerWeights], stores: Container[str]) -> list[LayerWeights]:
    """The layers of a file, the second with blobs of one name called as the net calls its second, and so on.

    ``stores`` are the names under which the net keeps params.
    """
    seen: Counter[str] = Counter()
    entries = []
    for entry in weights:
        seen[entry.name] += bool(entry.blobs)
        store = f"{entry.name}#{seen[entry.name]}"
        entries.append(replace(entry, name=store) if entry.blobs and store in stores else entry)
    return entries


def blobs_in_net(nodes: Sequence[Node], path: str) -> list[LayerWeights]:
    """The weights that a net's own message brings (``blobs`` of its layers), as a file would.

    ``path`` is what messages call the net. Raises WeightsError for a blob whose shape and numbers disagree.
    """
    found = []
    for node in nodes:
        entry = LayerWeights(node.name, node.type, [], [])
        for index, blob in enumerate(node.layer.spec.blobs):
            reader = Reader(BytesIO(blob.SerializeToString()), path)
            decoded = decode_blob(reader, 0, reader.size, f"blob {index} of layer '{node.name}'")
            entry.blobs.append(decoded.data)
            entry.legacy.append(decoded.legacy)
        if entry.blobs:
            found.append(entry)
    return found


def _pairs(entry: LayerWeights, node: Node, params: list[Param], path: str) -> list[tuple[Param, Array]]:
    blobs = list(entry.blobs)
    if entry.partial:
        blobs += [None] * (len(params) - len(blobs))
    layer = node.layer
    where = f"weights '{path}' -> layer '{layer.name}' ({layer.type}) at {layer.location()}"
    if len(blobs) != len(params):
        raise NetError(
            f"{where}: {len(blobs)} blobs in the file, {len(params)} in the net\n"
            "  Fix: check bias_term and the layer's type, or rename the layer to learn it from scratch"
        )
    pairs = []
    for index, (blob, param) in enumerate(zip(blobs, params, strict=True)):
        if blob is None:  # HDF5 keeps a shared blob at its owner alone
            if node.params[index].owner is None and any(b is not None for b in blobs):
                raise NetError(f"{where}: param {index} ('{layer.params[index].name}') is not in the file")
            continue
        if not shapes_match(blob.shape, entry.legacy[index], param.shape):
            raise NetError(
                f"{where}: param {index} ('{layer.params[index].name}') is {shape_text(blob.shape)} in the file, "
                f"{shape_text(param.shape)} in the net\n"
                "  Fix: to learn this layer from scratch rename it; to reuse the weights give it the file's sizes"
            )
        pairs.append((param, blob))
    return pairs


def _few(names: Sequence[str], most: int = 4, between: str = ", ") -> str:
    shown = between.join(names[:most])
    return f"{shown}{between}..." if len(names) > most else shown
