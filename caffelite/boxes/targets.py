"""What a region proposal network and a Fast R-CNN head learn from, and the proposals that one makes for the other.

Source: Ren et al., "Faster R-CNN" (2015), and its Python version's layers, whose every rule is kept but one: a box that
overlaps no anchor at all makes no anchor positive (the original then takes every anchor without overlap).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffelite.boxes.boxes import Array, clip, decode, encode, overlaps
from caffelite.boxes.nms import nms

_ONES = (1.0, 1.0, 1.0, 1.0)
_ZEROS = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class AnchorTargets:
    """For each of K anchors: ``labels`` (K,) int64, 1 object, 0 background, -1 neither; the rest (K, 4) float32.

    ``targets`` codes the box of largest overlap; the loss is sum outside * smooth_l1(inside * (prediction - target)).
    """

    labels: Array
    targets: Array
    inside: Array
    outside: Array


@dataclass(frozen=True)
class ProposalTargets:
    """The regions of one image that the head learns from, those with an object first.

    ``chosen`` (R,) int64 says which of the candidates they are (the proposals, then the annotated boxes); ``rois``
    (R, 4) float32; ``labels`` (R,) int64; ``targets``, ``inside``, ``outside`` (R, 4 C) float32, other than 0 only in
    the four columns of the roi's class.
    """

    chosen: Array
    rois: Array
    labels: Array
    targets: Array
    inside: Array
    outside: Array


# -- region proposal network ----------------------------------------------------------------------------


def anchor_targets(
    anchors: Array,
    gt: Array,
    height: float,
    width: float,
    rng: np.random.Generator,
    *,
    batch: int = 256,
    fg_fraction: float = 0.5,
    positive: float = 0.7,
    negative: float = 0.3,
    clobber: bool = False,
    allowed_border: float = 0,
    positive_weight: float = -1,
    inside_weights: Sequence[float] = _ONES,
) -> AnchorTargets:
    """Targets of ``anchors`` (K, 4) in an image whose annotated boxes are ``gt`` (G, 4), G = 0 included.

    Of the anchors that lie in the image, or at most ``allowed_border`` pixels outside (-1: all anchors count), those
    are objects whose overlap with some box is at least ``positive`` or is the largest that the box has with any,
    ties included; background those whose overlaps are all below ``negative``, if they are not objects already, or
    even then if ``clobber``. A random choice of ``batch`` * ``fg_fraction`` objects and as many of the background as
    fill ``batch`` keep their labels. Outside weights are 1 / (number of both), or, with a ``positive_weight`` from 0
    to 1, that share spread over the objects and the rest over the background.
    """
    (inner,) = np.nonzero(_in_image(anchors, height, width, allowed_border))
    shares = overlaps(anchors[inner], gt)
    labels = np.full(len(anchors), -1, np.int64)
    labels[inner] = _anchor_labels(shares, positive, negative, clobber)
    _sample(labels, 1, int(fg_fraction * batch), rng)
    _sample(labels, 0, batch - int((labels == 1).sum()), rng)
    targets = np.zeros((len(anchors), 4), np.float32)
    if len(gt):
        targets[inner] = encode(anchors[inner], gt[shares.argmax(axis=1)])
    inside = (labels == 1)[:, None] * np.asarray(inside_weights, np.float32)
    return AnchorTargets(labels, targets, inside, _anchor_weights(labels, positive_weight))


def _in_image(b: Array, height: float, width: float, border: float) -> Array:
    if border < 0:
        return np.ones(len(b), bool)
    starts, ends = b[:, :2] >= -border, b[:, 2:] < np.array([width, height]) + border
    return np.asarray((starts & ends).all(axis=1))


def _anchor_labels(shares: Array, positive: float, negative: float, clobber: bool) -> Array:
    """Labels of anchors from their overlaps with the annotated boxes (K, G)."""
    largest = shares.max(axis=1, initial=0)
    of_box = shares.max(axis=0, initial=0)
    labels = np.full(len(shares), -1, np.int64)
    labels[largest < negative] = 0
    labels[((shares == of_box) & (of_box > 0)).any(axis=1) | (largest >= positive)] = 1
    if clobber:
        labels[largest < negative] = 0
    return labels


def _sample(labels: Array, label: int, limit: int, rng: np.random.Generator) -> None:
    """Takes a label, in place, from a random choice of those who have it, so that ``limit`` keep it."""
    (having,) = np.nonzero(labels == label)
    if len(having) > limit:
        labels[rng.choice(having, len(having) - max(limit, 0), replace=False)] = -1


def _anchor_weights(labels: Array, positive_weight: float) -> Array:
    objects, background = labels == 1, labels == 0
    weights = np.zeros((len(labels), 4), np.float32)
    if positive_weight < 0:
        weights[objects | background] = 1 / max(int((labels >= 0).sum()), 1)
    else:
        weights[objects] = positive_weight / max(int(objects.sum()), 1)
        weights[background] = (1 - positive_weight) / max(int(background.sum()), 1)
    return weights


def proposals(
    anchors: Array,
    deltas: Array,
    scores: Array,
    height: float,
    width: float,
    *,
    min_size: float = 16,
    pre: int = 6000,
    post: int = 300,
    threshold: float = 0.7,
) -> tuple[Array, Array]:
    """Boxes (R, 4) and their scores (R,), best first, that ``deltas`` (K, 4) make of ``anchors`` (K, 4).

    Cut to the image; those with a side below ``min_size`` go (in pixels of the net's input: the published 16 times the
    image's scale); the ``pre`` best are suppressed by ``threshold``; the ``post`` best stay. ``pre`` and ``post`` of 0
    or less: all. NaN is no box.
    """
    boxes = clip(decode(anchors, deltas), height, width)
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    (left,) = np.nonzero((sides >= min_size).all(axis=1))
    left = left[np.argsort(-scores[left], kind="stable")]
    left = left[:pre] if pre > 0 else left
    kept = left[nms(boxes[left], scores[left], threshold, post if post > 0 else None)]
    return boxes[kept], scores[kept]


# -- head -----------------------------------------------------------------------------------------------


def proposal_targets(
    rois: Array,
    gt: Array,
    labels: Array,
    rng: np.random.Generator,
    *,
    classes: int,
    batch: int = 128,
    fg_fraction: float = 0.25,
    fg: float = 0.5,
    bg: tuple[float, float] = (0.0, 0.5),
    append_gt: bool = True,
    means: Sequence[float] = _ZEROS,
    stds: Sequence[float] = _ONES,
    inside_weights: Sequence[float] = _ONES,
) -> ProposalTargets:
    """A random choice of an image's proposals ``rois`` (K, 4), and what the head is to say of them.

    ``gt`` (G, 4) are the annotated boxes, ``labels`` (G,) their classes, from 1 to ``classes`` - 1; G = 0 is right. The
    boxes themselves are candidates too unless ``append_gt`` is false. A roi whose largest overlap is at least ``fg`` has
    the class of that box; one from ``bg[0]`` up to, not including, ``bg[1]`` is background. At most
    ``batch`` * ``fg_fraction`` (rounded, halves to even) of the first, and of the second what fills ``batch``; ``batch``
    of 0 or less takes as many as there are candidates. Targets are (code - means) / stds.
    """
    candidates = np.concatenate([rois, gt]) if append_gt else np.asarray(rois)
    shares = overlaps(candidates, gt)
    largest = shares.max(axis=1, initial=0)
    nearest = shares.argmax(axis=1) if len(gt) else np.zeros(len(candidates), np.int64)
    batch = batch if batch > 0 else len(candidates)
    count, chosen = choose(largest, batch, fg_fraction, fg if len(gt) else np.inf, bg, rng)
    own = np.zeros(len(chosen), np.int64)
    own[:count] = np.asarray(labels)[nearest[chosen[:count]]]
    codes = np.zeros((len(chosen), 4), np.float32)
    if len(gt):
        codes[:] = (encode(candidates[chosen], gt[nearest[chosen]]) - np.asarray(means)) / np.asarray(stds)
    targets, inside = by_class(codes, own, classes, inside_weights)
    return ProposalTargets(chosen, candidates[chosen], own, targets, inside, (inside > 0).astype(np.float32))


def choose(
    largest: Array,
    batch: int,
    fg_fraction: float,
    fg: float,
    bg: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, Array]:
    """A random choice of regions by their largest overlaps (K,): how many have objects, and which they are (R,).

    Those with objects come first; parameters are those of ``proposal_targets``.
    """
    objects = _choice(largest >= fg, round(fg_fraction * batch), rng)
    rest = _choice((largest < bg[1]) & (largest >= bg[0]), batch - len(objects), rng)
    return len(objects), np.concatenate([objects, rest])


def _choice(which: Array, limit: int, rng: np.random.Generator) -> Array:
    """At most ``limit`` of the places where ``which`` (K,) is true, chosen at random, in their order."""
    (places,) = np.nonzero(which)
    return np.sort(rng.choice(places, limit, replace=False)) if len(places) > limit else places


def by_class(
    codes: Array, labels: Array, classes: int, inside_weights: Sequence[float] = _ONES
) -> tuple[Array, Array]:
    """Targets and inside weights (R, 4 C) float32 from codes (R, 4): each in the four columns of its label (R,).

    Rows of background (0) are all zeros.
    """
    targets = np.zeros((len(labels), classes, 4), np.float32)
    inside = np.zeros_like(targets)
    (objects,) = np.nonzero(labels > 0)
    targets[objects, labels[objects]] = codes[objects]
    inside[objects, labels[objects]] = inside_weights
    return targets.reshape(len(labels), 4 * classes), inside.reshape(len(labels), 4 * classes)
