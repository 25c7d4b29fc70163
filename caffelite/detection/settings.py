"""The process-wide ``cfg`` as a detector needs it, for as long as something runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from caffelite.detection.card import Card
from caffelite.detection.config import Config, cfg, cfg_from_list
from caffelite.errors import UsageError

_ANCHORS = {
    "RPN_BATCHSIZE": "batch_size",
    "RPN_FG_FRACTION": "fg_fraction",
    "RPN_POSITIVE_OVERLAP": "positive_overlap",
    "RPN_NEGATIVE_OVERLAP": "negative_overlap",
    "RPN_CLOBBER_POSITIVES": "clobber_positives",
    "RPN_POSITIVE_WEIGHT": "positive_weight",
    "RPN_BBOX_INSIDE_WEIGHTS": "bbox_inside_weight",
}
_REGIONS = {
    "BATCH_SIZE": "batch_size",
    "FG_FRACTION": "fg_fraction",
    "FG_THRESH": "fg_thresh",
    "BG_THRESH_HI": "bg_thresh_hi",
    "BG_THRESH_LO": "bg_thresh_lo",
    "BBOX_NORMALIZE_MEANS": "bbox_mean",
    "BBOX_NORMALIZE_STDS": "bbox_std",
    "BBOX_INSIDE_WEIGHTS": "bbox_inside_weight",
}
_PROPOSALS = {
    "RPN_NMS_THRESH": "nms_thresh",
    "RPN_PRE_NMS_TOP_N": "pre_nms_topn",
    "RPN_POST_NMS_TOP_N": "post_nms_topn",
    "RPN_MIN_SIZE": "min_size",
}
# Settings that a layer type has as parameters of its own, by type: (message, {setting: field}).
OWNED: dict[str, tuple[str, dict[str, str]]] = {
    "AnchorTarget": ("anchor_target_param", {f"TRAIN.{key}": name for key, name in _ANCHORS.items()}),
    "ProposalTarget": ("proposal_target_param", {f"TRAIN.{key}": name for key, name in _REGIONS.items()}),
    "Proposal": (
        "proposal_param",
        {f"{phase}.{key}": name for key, name in _PROPOSALS.items() for phase in ("TRAIN", "TEST")},
    ),
}


@contextmanager
def settings(card: Card, pairs: Sequence[str] = (), types: Collection[str] = ()) -> Iterator[Config]:
    """``cfg`` with a card's settings, and over them ``["TRAIN.SCALES", "600", ...]``; as before when the block ends.

    The card's means, sizes and NMS are settings too; its ``config`` counts more, and ``pairs`` most. ``types``: types of
    the layers of the nets that will run.

    Raises:
        UsageError, FieldError: a setting that there is not, a value of another type, or a setting that one of the
            layers has as a parameter of its own, so that it would have no effect.
    """
    for type_ in sorted(OWNED.keys() & set(types)):
        message, names = OWNED[type_]
        for key in pairs[::2]:
            if key in names:
                where = f"{message} {{ {names[key]}: ... }}"
                raise UsageError(
                    f"--set {key}: the net's {type_} layer has it as a parameter\n  Fix: write {where} in the prototxt"
                )
    before = cfg.copied()
    try:
        _apply(card)
        cfg_from_list(pairs)
        yield cfg
    finally:
        cfg.restore(before)


def with_settings(card: Card, pairs: Sequence[str]) -> Card:
    """The card with those of the ``--set`` pairs that testing needs, too: PIXEL_MEANS and all of TEST."""
    with settings(card, pairs) as config:
        keys = dict.fromkeys(key for key in pairs[::2] if key.startswith("TEST."))
        kept = {key: getattr(config.TEST, key.removeprefix("TEST.")) for key in keys}
        if "PIXEL_MEANS" in pairs[::2]:
            blue, green, red = (float(mean) for mean in np.ravel(config.PIXEL_MEANS))
            card = replace(card, means=(blue, green, red))
    return replace(card, config=card.config | kept)


def _apply(card: Card) -> None:
    cfg.PIXEL_MEANS = card.means
    cfg.TEST.NMS = card.nms
    for group in (cfg.TRAIN, cfg.TEST):
        group.SCALES, group.MAX_SIZE, group.HAS_RPN = card.scales, card.max_size, card.has_rpn
    if card.has_rpn:
        cfg.TRAIN.IMS_PER_BATCH, cfg.TRAIN.PROPOSAL_METHOD = 1, "gt"
    if stride := card.anchors.get("feat_stride"):
        cfg.DEDUP_BOXES = 1 / stride
    for key, value in card.config.items():
        cfg.set(key, value)
