"""Fully connected layers as two thin ones, by truncated singular value decomposition (Girshick, "Fast R-CNN", 3.1).

W (M, K) becomes U (M, r) times diag(s) V (r, K): of layer ``fc6`` come ``fc6_L``, without bias, and ``fc6_U`` with the
bias of ``fc6``. r (M + K) numbers stand in place of M K.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.atomic import atomic_write, make_folder
from caffelite.boxes.boxes import Array
from caffelite.detection.card import CARD, Card
from caffelite.detection.detector import NET, WEIGHTS
from caffelite.errors import DataError, MissingFileError, NetError, UsageError, WeightsError
from caffelite.model import Model
from caffelite.prototxt.source import NetSource, net_from_message, parse_net, read_net
from caffelite.prototxt.suggest import suggestion
from caffelite.prototxt.write import write_text

LOWER, UPPER = "_L", "_U"
_RCNN = ("train.prototxt", "rcnn.npz")  # how an R-CNN cuts windows out; its SVMs and box regression


@dataclass(frozen=True)
class Compressed:
    """One layer: its numbers before and after, and the share of the squares of its weights that is left out."""

    layer: str
    rank: int
    before: int
    after: int
    lost: float

    def text(self) -> str:
        """One line on it."""
        return (
            f"{self.layer}: rank {self.rank}, {self.before} weights -> {self.after} "
            f"({self.after / self.before:.0%}); {self.lost:.2%} of their squares are lost"
        )


def compress(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    ranks: Mapping[str, int],
    weights: str | os.PathLike[str] | None = None,
    *,
    force: bool = False,
) -> list[Compressed]:
    """Writes a detector's folder with layers of rank ``ranks[layer]`` in their place: prototxt, weights and card.

    ``source``: the folder of a detector, or its prototxt for testing with ``weights``. The new folder is used as the old
    one is. A folder that holds weights is refused unless ``force``. Raises what ``svd_net`` does, WeightsError for weights that lack a layer, and SnapshotError.
    """
    path = Path(source)
    folder, file = (path, path / NET) if path.is_dir() else (path.parent, path)
    found = Path(weights) if weights else folder / WEIGHTS
    if not found.exists():
        raise MissingFileError(found, "weights of the detector")
    target = Path(output)
    if target.exists() and target.samefile(folder):
        raise UsageError(f"'{target}' would be written over\n  Fix: -o another folder")
    if (target / WEIGHTS).exists() and not force:
        raise UsageError(
            f"'{target}' holds a detector already\n  Fix: -o another folder, or --force to write over it"
        )
    card = Card.read(folder) if path.is_dir() or (folder / CARD).exists() else None
    text = write_text(svd_net(read_net(file), ranks).message)
    net = _complete(read_net(file), found)
    thin = Model(parse_net(text, str(target / NET)), backward=False)
    report = fill(thin, net)
    make_folder(target)
    with atomic_write(target / NET) as out:
        out.write(text.encode())
    thin.save(target / WEIGHTS)
    if card:
        card.write(target)
        for name in _RCNN if card.method == "rcnn" else ():
            _copy(folder / name, target / name)
    return report


def _complete(source: NetSource, weights: Path) -> Model:
    """A net with weights for all its layers: those of fillers would look like trained ones in the new file."""
    net = Model(source, backward=False)
    if missing := net.load_weights(weights).initial:
        raise WeightsError(
            f"'{weights}': expected weights of all layers of '{source.file}', got none for {', '.join(missing)}"
        )
    return net


def _copy(source: Path, target: Path) -> None:
    if source.exists():
        with atomic_write(target) as out:
            out.write(source.read_bytes())


def svd_net(source: NetSource, ranks: Mapping[str, int]) -> NetSource:
    """A net in which InnerProduct layers are two each.

    Raises UsageError for no layer, NetError for one that is not there or none of that type, that shares its weights, or
    of a rank that is not between 1 and its outputs.
    """
    if not ranks:
        raise UsageError("expected layers and their ranks, got none")
    names = [layer.name for layer in source.message.layer if layer.type == "InnerProduct"]
    for name in ranks:
        if name not in names:
            raise NetError(
                f"there is no InnerProduct layer '{name}'{suggestion(name, names)}, only {', '.join(names) or 'none'}"
            )
    message = type(source.message)()
    message.CopyFrom(source.message)
    message.ClearField("layer")
    for layer in source.message.layer:
        message.layer.extend(_thin(layer, ranks[layer.name]) if layer.name in ranks else [layer])
    return net_from_message(message, source.file)


def _thin(layer: Any, rank: int) -> list[Any]:
    outputs = layer.inner_product_param.num_output
    if not 1 <= rank <= outputs:
        raise NetError(f"layer '{layer.name}': expected a rank from 1 to its {outputs} outputs, got {rank}")
    if any(param.name for param in layer.param):
        raise NetError(f"layer '{layer.name}' shares its weights and cannot be compressed")
    lower, upper = type(layer)(), type(layer)()
    for half, suffix in ((lower, LOWER), (upper, UPPER)):
        half.CopyFrom(layer)
        half.name = layer.name + suffix
        half.ClearField("blobs")
    lower.top[:] = [lower.name]
    upper.bottom[:] = [lower.name]
    lower.inner_product_param.num_output, lower.inner_product_param.bias_term = rank, False
    del lower.param[1:]
    return [lower, upper]


def fill(thin: Model, net: Model) -> list[Compressed]:
    """Gives a net with layers ``X_L`` and ``X_U`` the weights of another that has ``X``, and those of the same names.

    The ranks are those of the ``X_L``. Raises NetError if shapes do not fit, DataError for weights that are not finite.
    """
    report = []
    for node in thin.nodes:
        name = node.name.removesuffix(LOWER)
        if node.name.endswith(LOWER) and net.graph.node(name) and not net.graph.node(node.name):
            report.append(_fill_pair(thin, net, name))
    thin.share_params(net)
    return report


def _fill_pair(thin: Model, net: Model, name: str) -> Compressed:
    nodes = [net.graph.node(name), thin.graph.node(name + LOWER), thin.graph.node(name + UPPER)]
    whole, lower, upper = (node if node and node.type == "InnerProduct" else None for node in nodes)
    if not (whole and lower and upper):
        raise NetError(f"expected InnerProduct layers '{name}' and '{name}{LOWER}', '{name}{UPPER}'")
    params, up = net.params_of(whole), thin.params_of(upper)
    w = _upright(params[0].data, whole)
    if not np.isfinite(w).all():
        raise DataError(f"layer '{name}': its weights are not finite")
    rank = int(lower.layer.p.num_output)
    u, s, v = np.linalg.svd(w, full_matrices=False)
    if rank > len(s):
        raise NetError(f"layer '{name}': expected a rank up to {len(s)}, got {rank}")
    thin.params_of(lower)[0].load(_upright(s[:rank, None] * v[:rank], lower))
    up[0].load(_upright(u[:, :rank], upper))
    for mine, its in zip(up[1:], params[1:], strict=True):
        mine.load(its.data)
    squares = np.square(s, dtype=np.float64)
    lost = float(squares[rank:].sum() / max(squares.sum(), np.finfo(np.float64).tiny))
    return Compressed(name, rank, w.size, rank * sum(w.shape), lost)


def _upright(w: Array, node: Any) -> Array:
    """W (M, K) of the layer's own form, or the other way."""
    values = w.T if node.layer.p.transpose else w
    return np.ascontiguousarray(values, np.float32)
