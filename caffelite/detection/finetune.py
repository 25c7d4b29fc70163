"""Weights to begin with: from a backbone, a detector of other classes, or one of the same."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from caffelite.detection.heads import Folding, find_heads
from caffelite.detection.run_folder import card_in
from caffelite.errors import MissingFileError
from caffelite.graph.graph import Node
from caffelite.loading import LoadReport, load_params
from caffelite.logs.log import get_log
from caffelite.model import Model
from caffelite.params import Array
from caffelite.weights import LayerWeights, load_weights, shapes_match

_log = logging.getLogger(__name__)

_NO_WEIGHTS = (
    "any .caffemodel whose layers have the names of the net's will do, from wherever you have it; "
    "'caffelite det init --arch tiny' makes a detector that learns without weights to begin with"
)


def check_weights(paths: Sequence[str | os.PathLike[str]]) -> None:
    """Raises MissingFileError for weights files that are not there, before a run is begun for nothing."""
    for path in paths:
        if not Path(path).exists():
            raise MissingFileError(os.fspath(path), "weights to begin with", _NO_WEIGHTS)


def warn_of_initial(report: LoadReport) -> None:
    """Logs a warning if a file has nothing for some layers of a detector that is about to be used."""
    if report.initial:
        layers = ", ".join(report.initial)
        _log.warning("'%s' has nothing for %s, which keep the values of their fillers", report.path, layers)


def take_weights(
    net: Model, paths: Sequence[str | os.PathLike[str]], classes: Sequence[str], folding: Folding | None
) -> None:
    """Loads weights files, later ones over earlier ones; heads of another number of classes stay as they are.

    ``folding``: of the net's head, which is unfolded if it was loaded, since files hold codes. What was done is logged.
    Raises MissingFileError, WeightsError, and NetError for another layer that does not fit.
    """
    heads = find_heads(net.graph)
    own = [node for node in (heads.scores, heads.boxes) if node]
    loaded = False
    for path in paths:
        weights = load_weights(path)
        others = [node for node in own if _differs(node, weights)]
        names = {node.name for node in (own if others else ())}
        report = load_params(net, [entry for entry in weights if entry.name not in names], str(path))
        loaded = loaded or (folding is not None and folding.layer in report.loaded)
        _say(f"Weights from {report}")
        if others:
            _say_other_classes(path, others[0], weights, sorted(names), classes)
        elif any(node.name in report.loaded for node in own):
            _compare_classes(path, classes)
    if loaded and folding is not None:
        folding.unfold()


def _entry(node: Node, weights: Sequence[LayerWeights]) -> list[Array | None]:
    return next((entry.blobs for entry in weights if entry.name == node.name and entry.blobs), [])


def _differs(node: Node, weights: Sequence[LayerWeights]) -> bool:
    """Whether a file has another number of outputs for a layer."""
    entry = next((entry for entry in weights if entry.name == node.name and entry.blobs), None)
    if entry is None or entry.blobs[-1] is None:
        return False
    return not shapes_match(entry.blobs[-1].shape, entry.legacy[-1], node.params[-1].spec.shape)


def _say_other_classes(
    path: str | os.PathLike[str],
    node: Node,
    weights: Sequence[LayerWeights],
    names: Sequence[str],
    classes: Sequence[str],
) -> None:
    bias = _entry(node, weights)[-1]
    theirs = _classes_of(path)
    there = f"{bias.size} outputs of '{node.name}'" if bias is not None else "others"
    if theirs:
        there += f" ({', '.join(theirs)})"
    _say(
        f"{path} has {there}; this detector tells background, {', '.join(classes)} apart: "
        f"{' and '.join(names)} are learned anew"
    )


def _compare_classes(path: str | os.PathLike[str], classes: Sequence[str]) -> None:
    theirs = _classes_of(path)
    if theirs and theirs != tuple(classes):
        _say(
            f"{path} is for classes {', '.join(theirs)}, this detector for {', '.join(classes)}: as many, so that the "
            "head is kept", "W",
        )  # fmt: skip


def _classes_of(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The classes of the detector whose folder a weights file lies in."""
    parents = Path(path).resolve().parents
    cards = (card_in(folder) for folder in parents[:2])
    return next((card.classes for card in cards if card), ())


def _say(text: str, severity: str = "I") -> None:
    get_log().emit("message", text, "train.py:1", severity)
