"""What suits a data set: classes, sizes of images, anchors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caffelite.boxes.config import defaults
from caffelite.detection.card import METHODS, Card
from caffelite.detection.coverage import AnchorSettings, Coverage, anchor_coverage
from caffelite.detection.dataset import DetectionSet
from caffelite.detection.recipes.files import write_recipe
from caffelite.detection.recipes.plan import Numbers, arch_of, numbers
from caffelite.errors import UsageError
from caffelite.prototxt.suggest import suggestion

_SIDES = {"classic": (600, 1000), "modern": (800, 1333)}  # short side and longest long side of images
_TINY_SIDES = (128, 320)  # short side without a set; the largest
_TINY_SCALES = (2.5, 4.5, 8)  # with a base of 8 pixels: 20, 36 and 64
_INSIDE = 0.9  # of the short side: larger anchors have hardly a position inside
_PERCENT_SMALL = 2  # of the boxes may be smaller than the smallest proposal


@dataclass(frozen=True)
class Choice:
    """A card, options of ``write_recipe``, and why, a line for each decision."""

    card: Card
    options: dict[str, Any]
    reasons: list[str]


def init(
    folder: str | os.PathLike[str],
    *,
    arch: str = "tiny",
    method: str = "faster",
    dataset: DetectionSet | None = None,
    classes: Sequence[str] = (),
    preset: str = "classic",
    **options: Any,
) -> Card:
    """Writes a detector's folder: nets, solvers and card, with what :func:`choose` chose.

    ``options``: those of ``write_recipe``, and they count more than the choice. Raises what ``choose`` and
    ``write_recipe`` raise.
    """
    choice = choose(arch=arch, method=method, dataset=dataset, classes=classes, preset=preset)
    write_recipe(folder, choice.card, **choice.options | options)
    return choice.card


def choose(
    *,
    arch: str = "tiny",
    method: str = "faster",
    dataset: DetectionSet | None = None,
    classes: Sequence[str] = (),
    preset: str = "classic",
) -> Choice:
    """What suits the pictures of ``dataset`` that are trained on; without one, the published values.

    Raises:
        UsageError: no such backbone, method or preset; neither classes nor a set with objects.
    """
    arch_of(arch)
    base = numbers(arch, preset)
    if method not in METHODS:
        raise UsageError(
            f"method: expected one of {', '.join(METHODS)}, got '{method}'{suggestion(method, METHODS)}"
        )
    names = tuple(classes) or (dataset.classes if dataset else ())
    if not names:
        raise UsageError(
            "which classes?\n  Fix: give data that has objects (--data DATA), or names (--classes a,b,c)"
        )
    reasons = [f"classes: {len(names)} ({', '.join(names[:8])}{', ...' if len(names) > 8 else ''})"]
    short, long, reason = _sides(arch, preset, dataset)
    reasons.append(reason)
    options: dict[str, Any] = {"preset": preset}
    anchors: dict[str, Any] = {"feat_stride": arch_of(arch).stride}
    if method.startswith("faster"):
        settings, lines = _anchors(_start(arch, preset, short, long), dataset)
        anchors |= {"base_size": int(settings.size), "scales": list(settings.scales)}
        anchors["ratios"] = list(settings.ratios)
        border, about_border = _border(base.allowed_border, settings)
        min_size, about_size = _min_size(base.min_size, dataset)
        options |= {"allowed_border": border, "min_size": min_size}
        reasons += [*lines, *about_border, *about_size]
    card = Card(
        method,
        arch,
        names,
        scales=(short,),
        max_size=long,
        nms=0.5 if preset == "modern" else 0.3,
        anchors=anchors,
        proposals="" if method.startswith("faster") else "ss",
        config=_config(method, base),
    )
    return Choice(card, options, reasons)


def _config(method: str, base: Numbers) -> dict[str, Any]:
    """Settings of the data layers that are not py-faster-rcnn's defaults."""
    config: dict[str, Any] = {}
    if method.startswith("faster"):
        config |= {"TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED": True, "TRAIN.BG_THRESH_LO": 0.0}
        config |= {"TRAIN.IMS_PER_BATCH": base.images} if base.images != 1 else {}
    regions = base.batch * base.images
    if method in ("fast", "faster-4step") and regions != defaults().TRAIN.BATCH_SIZE:
        config |= {"TRAIN.BATCH_SIZE": regions}
    return config


def _sides(arch: str, preset: str, dataset: DetectionSet | None) -> tuple[int, int, str]:
    """The short and the longest long side of images at the net's input."""
    if arch != "tiny":
        short, long = _SIDES[preset]
        return short, long, f"images: short side {short} pixels, long side at most {long}, as published"
    if dataset is None or not dataset.pictures:
        short, limit = _TINY_SIDES
        return short, 2 * short, f"images: short side {short} pixels, as no data are given"
    sides = np.array([[min(p.width, p.height), max(p.width, p.height)] for p in dataset.pictures])
    native, long = np.median(sides, axis=0)
    short = int(min(native, _TINY_SIDES[1]))
    long = int(np.ceil(max(2 * short, short * (sides[:, 1] / sides[:, 0]).mean())))
    how = "as they are" if short == int(native) else f"half of the pictures have {native:g} or more"
    return short, long, f"images: short side {short} pixels ({how}), long side at most {long}"


def _start(arch: str, preset: str, short: int, long: int) -> AnchorSettings:
    stride = arch_of(arch).stride
    if arch == "tiny":
        return AnchorSettings(_TINY_SCALES, size=stride, stride=stride, short=short, long=long)
    scales = (2, 4, 8, 16, 32) if preset == "modern" else (8, 16, 32)
    return AnchorSettings(scales, stride=stride, short=short, long=long)


def _anchors(start: AnchorSettings, dataset: DetectionSet | None) -> tuple[AnchorSettings, list[str]]:
    """Those that cover the boxes best, and what is to be said of them."""
    if dataset is None:
        return start, [_described(start, "as no data are given")]
    found = anchor_coverage(dataset.pictures, start)
    if not len(found.best):
        return start, [_described(start, "the data have no boxes")]
    chosen = found.advice or start
    missed = found.advised if found.advice else found.missed
    why = f"{100 * missed:.0f} % of the boxes have a best-anchor overlap < 0.5"
    if found.advice:
        why += f"; the usual {_of_sides(start)} would leave {100 * found.missed:.0f} %"
    return chosen, [_described(chosen, why), *_finer(found)]


def _finer(found: Coverage) -> list[str]:
    if found.finer is None:
        return []
    fix = "larger images (card's scales) or a backbone of a smaller stride would help"
    return [
        f"warning: objects are small beside the stride of {found.settings.stride:g} pixels: at half of it "
        f"{100 * found.finer:.0f} %; {fix}"
    ]


def _described(settings: AnchorSettings, why: str) -> str:
    return f"anchors: sides {_of_sides(settings)} pixels, height / width {_numbers(settings.ratios)} ({why})"


def _of_sides(settings: AnchorSettings) -> str:
    return _numbers([scale * settings.size for scale in settings.scales])


def _border(usual: int, settings: AnchorSettings) -> tuple[int, list[str]]:
    """How far anchors may lie outside of the image: any way, if the largest would hardly ever be inside."""
    largest = max(settings.scales) * settings.size
    if usual < 0 or largest <= _INSIDE * settings.short:
        return usual, []
    return -1, [f"anchors outside of the image are learned too: {largest:g} pixels hardly fit in"]


def _min_size(usual: int, dataset: DetectionSet | None) -> tuple[int, list[str]]:
    """The least side of proposals: no more than nearly all boxes have."""
    boxes = [p.boxes[~p.difficult] for p in dataset.pictures] if dataset else []
    sides = np.concatenate([np.zeros(0), *((b[:, 2:] - b[:, :2] + 1).min(axis=1) for b in boxes if len(b))])
    if not len(sides):
        return usual, []
    small = float(np.percentile(sides, _PERCENT_SMALL))
    if small >= usual:
        return usual, []
    chosen = int(small // 2)
    return chosen, [
        f"proposals: sides of {chosen} pixels or more; {_PERCENT_SMALL} % of the boxes have a side below {small:g}"
    ]


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
