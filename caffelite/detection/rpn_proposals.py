"""Proposals of a region proposal network, for all pictures of a set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from caffelite.boxes.blobs import Anchors, proposal_blobs
from caffelite.boxes.boxes import Array
from caffelite.boxes.config import Config, cfg
from caffelite.detection.card import Card
from caffelite.detection.dataset import Picture
from caffelite.detection.one_image import View, as_net, check_image, rpn_blobs
from caffelite.detection.pictures import load_picture
from caffelite.detection.settings import settings
from caffelite.errors import UsageError
from caffelite.graph.graph import Node
from caffelite.layers._rpn import decimal
from caffelite.model import Model
from caffelite.net import Net

Boxes = tuple[Array, Array]


def rpn_proposals(
    model: Net | Model,
    card_or_cfg: Card | Config,
    pictures: Sequence[Picture],
    *,
    pre: int = 6000,
    post: int = 300,
) -> dict[str, Boxes]:
    """Key of a picture -> boxes float32 (K, 4) in its pixels and scores float32 (K,), best first.

    ``model``: a net in phase TEST with inputs data and im_info, and a proposal layer, whose anchors, threshold and least
    size hold. ``pre`` and ``post``: boxes before and after suppression, 0 or less: all; they stand in place of the
    layer's. Layers after the proposals are not computed.

    Raises:
        UsageError: the net has no proposal layer, or not those inputs.
        DataError: a picture cannot be read.
        NotFiniteError: scores are NaN.
    """
    return dict(each(model, card_or_cfg, pictures, pre=pre, post=post))


def each(
    model: Net | Model,
    card_or_cfg: Card | Config,
    pictures: Sequence[Picture],
    *,
    pre: int = 6000,
    post: int = 300,
) -> Iterator[tuple[str, Boxes]]:
    """What :func:`rpn_proposals` gives, one picture at a time."""
    config = config_of(card_or_cfg)
    for picture in pictures:
        yield picture.key, im_proposals(model, load_picture(picture.path), config, pre=pre, post=post)


def config_of(card_or_cfg: Card | Config) -> Config:
    """A configuration, as it is or as a card makes it of ``cfg``."""
    if isinstance(card_or_cfg, Config):
        return card_or_cfg
    with settings(card_or_cfg) as config:
        return config.copied()


def im_proposals(
    net: Net | Model, im: Array, config: Config = cfg, *, pre: int = 6000, post: int = 300
) -> Boxes:
    """Boxes float32 (K, 4) in pixels of an image (H, W, 3), and their scores (K,), best first.

    Parameters and errors are those of :func:`rpn_proposals`.
    """
    net = as_net(net)
    check_image(im)
    node = _proposal_node(net)
    blobs, scale = rpn_blobs(net, im, View.of(config))
    net.forward(end=net.model.nodes[node.index - 1].name, **blobs)
    scores, deltas = (net.blobs[value.name].data for value in node.bottoms[:2])
    found = proposal_blobs(scores, deltas, blobs["im_info"], pre=pre, post=post, **_parameters(node, config))
    return found[0][:, 1:] / np.float32(scale), found[1][:, 0]


def _proposal_node(net: Net) -> Node:
    for node in net.model.nodes:
        if node.type == "Proposal" or getattr(node.layer.p, "layer", "") == "ProposalLayer":
            return node
    raise UsageError(
        f"net '{net.name}' has no proposal layer (type Proposal, or module rpn.proposal_layer)\n"
        "  Fix: give the test prototxt of a Faster R-CNN or of its region proposal network"
    )


def _parameters(node: Node, config: Config) -> dict[str, Any]:
    if node.type == "Proposal":
        p = node.layer.p
        anchors: Anchors = node.layer.anchors  # type: ignore[attr-defined]
        return {"anchors": anchors, "min_size": p.min_size, "threshold": decimal(p.nms_thresh)}
    test = config.TEST
    user = node.layer.user  # type: ignore[attr-defined]
    return {"anchors": user.anchors, "min_size": test.RPN_MIN_SIZE, "threshold": test.RPN_NMS_THRESH}
