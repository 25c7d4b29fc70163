"""The head of a detector: the two layers whose sizes depend on the classes, and its box codes in two forms.

While it learns, ``bbox_pred`` says (code - mean) / std, which keeps all targets near 1. What users hold says codes
themselves, so that nothing beside the weights is needed to read them: rows of the weights are multiplied with std,
and mean is added to the bias. This is the form of the weights that py-faster-rcnn publishes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from caffelite.boxes.config import cfg
from caffelite.errors import NetError, WeightsError, layer_message
from caffelite.graph.graph import Graph, Node
from caffelite.model import Model
from caffelite.params import Array, Param

_LEARNS = ("InnerProduct", "Convolution")


@dataclass(frozen=True)
class Heads:
    """The layers that depend on the number of classes; None where a net has none (a region proposal network)."""

    scores: Node | None
    boxes: Node | None
    maker: Node | None  # the layer that makes the targets of ``boxes``

    @property
    def names(self) -> list[str]:
        return [node.name for node in (self.scores, self.boxes) if node]


def find_heads(graph: Graph) -> Heads:
    """The layers that the losses of the regions read, by whatever names.

    That is, the losses whose labels or targets come from a ProposalTarget or WindowData layer, or a data layer with regions.
    """
    found: dict[str, tuple[Node, Node]] = {}
    for loss in graph.nodes:
        if loss.type in ("SoftmaxWithLoss", "SmoothL1Loss") and len(loss.bottoms) > 1:
            maker, learner = loss.bottoms[1].producer, _learner(loss.bottoms[0].producer)
            if learner is not None and _makes_regions(maker):
                found[loss.type] = learner, maker
    scores, boxes = found.get("SoftmaxWithLoss"), found.get("SmoothL1Loss")
    return Heads(scores and scores[0], boxes and boxes[0], boxes and boxes[1])


def _learner(node: Node | None) -> Node | None:
    """The layer with weights that makes a blob, maybe through layers without (a Reshape)."""
    while node is not None and node.type not in _LEARNS:
        node = node.bottoms[0].producer if len(node.bottoms) == 1 else None
    return node


def _makes_regions(maker: Node | None) -> bool:
    if maker is None:
        return False
    named = any(value.name == "rois" for value in maker.tops)
    return maker.type in ("ProposalTarget", "WindowData") or (maker.type == "Python" and named)


@dataclass(frozen=True)
class Normalisation:
    """Means and standard deviations of the targets, one for each row of ``bbox_pred`` (4 C,) float64."""

    means: Array
    stds: Array

    @classmethod
    def of(cls, heads: Heads, of_roidb: tuple[Array, Array] | None) -> Normalisation | None:
        """What the maker of the targets divides by; ``of_roidb``: means and stds (C, 4) of targets in a roidb."""
        if heads.boxes is None or heads.maker is None:
            return None
        rows = heads.boxes.params[0].spec.shape[0]
        means, stds = of_roidb or _of_maker(heads.maker)
        if rows % means.size:
            raise NetError(
                layer_message(
                    heads.boxes.name, heads.boxes.type, heads.boxes.layer.location(),
                    f"expected {means.size} outputs, 4 for each class and the background", str(rows),
                    "set num_output",
                )
            )  # fmt: skip
        return cls(*(np.tile(values.reshape(-1), rows // values.size) for values in (means, stds)))

    def fold(self, params: Sequence[Param]) -> None:
        """From what is learned to codes, in place."""
        self._apply(params, self.stds, self.means)

    def unfold(self, params: Sequence[Param]) -> None:
        """From codes to what is learned, in place; exact but for rounding."""
        self._apply(params, 1 / self.stds, -self.means / self.stds)

    @staticmethod
    def _apply(params: Sequence[Param], factors: Array, added: Array) -> None:
        for index, param in enumerate(params):
            rows = param.data.reshape(len(factors), -1)
            values = rows * factors[:, None] + (added[:, None] if index else 0)
            rows[...] = values
            param.touch()


def _of_maker(maker: Node) -> tuple[Array, Array]:
    """What a ProposalTarget layer, ours or ``rpn.proposal_target_layer``, divides by."""
    if maker.type == "ProposalTarget":
        options: Mapping[str, Any] = maker.layer.options  # type: ignore[attr-defined]
        return np.array(options["means"], np.float64), np.array(options["stds"], np.float64)
    c = cfg.TRAIN
    if not c.BBOX_NORMALIZE_TARGETS_PRECOMPUTED:
        return np.zeros(4), np.ones(4)
    return np.array(c.BBOX_NORMALIZE_MEANS), np.array(c.BBOX_NORMALIZE_STDS)


class Folding:
    """The head of a net in training: given out folded, kept as it is.

    A solver state keeps the head to the last bit, since folding rounds. Raises NetError for a head without a bias, if
    there are means.
    """

    def __init__(self, net: Model, boxes: Node, norm: Normalisation):
        self._net, self._boxes, self.norm = net, boxes, norm
        self._exact: list[Array] = []
        if len(boxes.params) < 2 and norm.means.any():
            at = boxes.layer.location()
            raise NetError(
                layer_message(boxes.name, boxes.type, at, "expected a bias", "none", "bias_term: true")
            )

    @property
    def layer(self) -> str:
        """The head's name."""
        return self._boxes.name

    @property
    def params(self) -> list[Param]:
        return self._net.params_of(self._boxes)

    @contextmanager
    def folded(self) -> Iterator[None]:
        """The net has codes while a block runs."""
        self._exact = [param.data.copy() for param in self.params]
        self.norm.fold(self.params)
        try:
            yield
        finally:
            self._put(self._exact)
            self._exact = []

    def unfold(self) -> None:
        """After weights were loaded, which always hold codes."""
        self.norm.unfold(self.params)

    def state(self) -> dict[str, Any]:
        """For a snapshot, within ``folded`` or not; JSON-able."""
        arrays = self._exact or [param.data for param in self.params]
        return {
            "head": [base64.b64encode(array.tobytes()).decode() for array in arrays],
            "means": self.norm.means.tolist(),
            "stds": self.norm.stds.tolist(),
        }

    def check(self, state: Mapping[str, Any], path: str) -> None:
        """Raises WeightsError if targets were normalised in another way: the data are not those of the run."""
        if state["means"] != self.norm.means.tolist() or state["stds"] != self.norm.stds.tolist():
            raise WeightsError(
                f"'{path}': expected means and deviations of box targets as in the run that wrote it, got others\n"
                "  Fix: resume with the same data, proposals and settings, or start from its weights (--weights)"
            )

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        texts = zip(state["head"], self.params, strict=True)
        self._put([np.frombuffer(base64.b64decode(text), param.data.dtype) for text, param in texts])

    def _put(self, arrays: Sequence[Array]) -> None:
        for param, array in zip(self.params, arrays, strict=True):
            param.data[...] = array.reshape(param.shape)
            param.touch()
