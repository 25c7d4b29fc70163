"""How well anchors cover the boxes of a set, and which would do it better.

A region proposal network learns an object from the anchors that overlap with it; one that no anchor overlaps by half
is hardly ever found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from caffelite.boxes.anchors import base_anchors
from caffelite.detection.dataset import Picture
from caffelite.errors import UsageError

ENOUGH = 0.5  # overlap
_SCALES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
_RATIOS = ((0.5, 1, 2), (0.33, 1, 3), (0.33, 0.5, 1, 2, 3), (0.25, 0.5, 1, 2, 4))
_ADVISED = 20000  # boxes that advice is based on, at most
_GAIN, _MISSED = 0.02, 0.05  # advice that gains less, or mends less, is none
_LEAST_SIDE = 16  # pixels: smaller proposals are dropped (RPN_MIN_SIZE)


@dataclass(frozen=True)
class AnchorSettings:
    """Anchors and the size of images at the net's input.

    ``short``, ``long``: pixels that sides are resized to, as TRAIN.SCALES and TRAIN.MAX_SIZE; 0 for images as they are.
    """

    scales: tuple[float, ...] = (8, 16, 32)
    ratios: tuple[float, ...] = (0.5, 1, 2)
    size: float = 16
    stride: float = 16
    short: int = 600
    long: int = 1000

    def __post_init__(self) -> None:
        numbers = (*self.scales, *self.ratios, self.size, self.stride)
        if not (self.scales and self.ratios) or min(numbers) <= 0 or min(self.short, self.long) < 0:
            raise UsageError(f"expected scales, ratios, size and stride of anchors above 0, got {self}")

    @property
    def base(self) -> np.ndarray:
        """The anchors of a position, (A, 4)."""
        return base_anchors(self.size, self.ratios, self.scales)

    def image_scale(self, height: int, width: int) -> float:
        """What an image is resized by: the short side becomes ``short``, unless the long one came out above ``long``."""
        if not self.short:
            return 1.0
        scale = self.short / min(height, width)
        if self.long and round(scale * max(height, width)) > self.long:
            scale = self.long / max(height, width)
        return scale


@dataclass(frozen=True)
class Coverage:
    """``best``: the overlap of each box with the anchor that fits best, (K,). ``advice``: how to do better, if at all."""

    settings: AnchorSettings
    best: np.ndarray
    small: int  # boxes with a side below 16 pixels at the net's input
    advice: AnchorSettings | None = None
    advised: float = 0.0  # part of the boxes that the advised anchors miss
    finer: float | None = None  # part that they would miss at half the stride, if that is much less

    @property
    def missed(self) -> float:
        """The part of the boxes that no anchor overlaps by half."""
        return _missed(self.best)

    def lines(self) -> list[str]:
        """What there is to say, in words."""
        if not len(self.best):
            return []
        lines = [f"{_percent(self.missed)} of the boxes have a best-anchor overlap < {ENOUGH:g}"]
        if self.advice:
            flags = f"--scales {_numbers(self.advice.scales)}"
            if self.advice.ratios != self.settings.ratios:
                flags += f" --ratios {_numbers(self.advice.ratios)}"
            lines[0] += f"; try {flags} ({_percent(self.advised)})"
        if self.finer is not None:
            stride = self.settings.stride / 2
            lines.append(
                f"with anchors every {stride:g} pixels (--stride {stride:g}) it would be {_percent(self.finer)}"
            )
        if self.small:
            lines.append(
                f"{self.small} boxes have a side below {_LEAST_SIDE} pixels at the net's input, where proposals are "
                "dropped; resize images larger (--short), or lower RPN_MIN_SIZE"
            )
        return lines


def anchor_coverage(pictures: Iterable[Picture], settings: AnchorSettings) -> Coverage:
    """How well anchors cover the boxes of some pictures that are not difficult."""
    boxes, maps = _boxes_at_input(pictures, settings)
    best = _overlaps(boxes, maps, settings).max(axis=1, initial=0)
    small = int((np.minimum(*(_sides(boxes).T)) < _LEAST_SIDE).sum()) if len(boxes) else 0
    found = Coverage(settings, best, small)
    if found.missed < _MISSED:
        return found
    step = -(-len(boxes) // _ADVISED)
    advice = _advise(boxes[::step], maps[::step], settings)
    advised = _missed(_overlaps(boxes, maps, advice).max(axis=1))
    if found.missed - advised < _GAIN:
        advice, advised = settings, found.missed
    else:
        found = replace(found, advice=advice, advised=advised)
    half = replace(advice, stride=advice.stride / 2)
    finer = _missed(_overlaps(boxes, 2 * maps, half).max(axis=1))
    return replace(found, finer=finer) if advised - finer >= _MISSED else found


def _boxes_at_input(pictures: Iterable[Picture], settings: AnchorSettings) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (K, 4) at the net's input, and rows and columns of the map that their pictures have there, (K, 2)."""
    boxes, maps = [np.zeros((0, 4))], [np.zeros((0, 2))]
    for picture in pictures:
        scale = settings.image_scale(picture.height, picture.width)
        kept = picture.boxes[~picture.difficult] * scale
        size = np.ceil(np.array([picture.height, picture.width]) * scale / settings.stride)
        boxes.append(kept)
        maps.append(np.tile(size, (len(kept), 1)))
    return np.concatenate(boxes), np.concatenate(maps)


def _overlaps(boxes: np.ndarray, maps: np.ndarray, settings: AnchorSettings) -> np.ndarray:
    """The overlap (K, A) of each box with each anchor where that fits best.

    Boxes and anchors are both rectangles, so that is the position whose centre is nearest, for x and y each.
    """
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    base, sides = settings.base.astype(np.float64), _sides(boxes)
    areas, found = sides.prod(axis=1), np.zeros((len(boxes), len(base)))
    for a, anchor in enumerate(base):
        step = np.round((middle - (anchor[:2] + anchor[2:]) / 2) / settings.stride)
        shift = np.clip(step, 0, maps[:, ::-1] - 1) * settings.stride
        upper, lower = (
            np.minimum(boxes[:, 2:], anchor[2:] + shift),
            np.maximum(boxes[:, :2], anchor[:2] + shift),
        )
        common = np.maximum(upper - lower + 1, 0).prod(axis=1)
        found[:, a] = common / (areas + (anchor[2:] - anchor[:2] + 1).prod() - common)
    return found


def _advise(boxes: np.ndarray, maps: np.ndarray, settings: AnchorSettings) -> AnchorSettings:
    """As many scales that cover the boxes best; other ratios if much is missed even so."""
    best = _best_scales(boxes, maps, settings)
    missed = _missed(_overlaps(boxes, maps, best).max(axis=1))
    if missed < _MISSED:
        return best
    others = [replace(best, ratios=ratios) for ratios in _RATIOS]
    scored = [(_missed(_overlaps(boxes, maps, other).max(axis=1)), other) for other in others]
    least, other = min(scored, key=lambda pair: pair[0])
    return other if missed - least >= _GAIN else best


def _best_scales(boxes: np.ndarray, maps: np.ndarray, settings: AnchorSettings) -> AnchorSettings:
    all_scales = replace(settings, scales=_SCALES)
    by_scale = _overlaps(boxes, maps, all_scales).reshape(len(boxes), -1, len(_SCALES)).max(axis=1)
    count = min(len(settings.scales), len(_SCALES))

    def score(chosen: Sequence[int]) -> tuple[float, float]:
        best = by_scale[:, chosen].max(axis=1)
        return -_missed(best), float(best.mean())

    chosen = max(map(list, combinations(range(len(_SCALES)), count)), key=score)
    return replace(settings, scales=tuple(_SCALES[index] for index in chosen))


def _sides(boxes: np.ndarray) -> np.ndarray:
    return np.asarray(boxes[:, 2:] - boxes[:, :2] + 1)


def _missed(best: np.ndarray) -> float:
    return float((best < ENOUGH).mean()) if len(best) else 0.0


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)
