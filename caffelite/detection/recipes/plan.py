"""The numbers of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from caffelite.detection.recipes.backbones import ARCHS, Arch
from caffelite.errors import UsageError
from caffelite.prototxt.compose import Fields

PRESETS = ("classic", "modern")


@dataclass(frozen=True)
class Schedule:
    """How long one net is trained. ``step``: iterations until the rate falls to a tenth."""

    iterations: int
    step: int
    iter_size: int = 1
    rate: float = 0.001


@dataclass(frozen=True)
class Numbers:
    """What a recipe leaves open: py-faster-rcnn's values, unless said otherwise."""

    allowed_border: int = 0  # pixels that anchors may lie outside of the image; -1: any number
    rpn_batch: int = 256  # anchors of an image that count
    batch: int = 128  # regions of an image that count
    images: int = 1  # of a batch, where regions are proposed
    min_size: int = 16  # pixels of the image; smaller proposals are dropped
    train_topn: tuple[int, int] = (12000, 2000)  # proposals before and after suppression
    test_topn: tuple[int, int] = (6000, 300)
    decay: float = 0.0005
    warm_up: tuple[int, float] = (0, 0)  # iterations, and the rate at their start
    clip: float = 0  # of the gradients' norm; 0: none
    display: int = 20
    window_batch: int = 128  # of R-CNN
    schedules: tuple[tuple[str, Schedule], ...] = (
        ("faster", Schedule(70000, 50000, 2)),
        ("fast", Schedule(40000, 30000)),
        ("rpn", Schedule(80000, 60000)),
        ("rcnn", Schedule(70000, 20000)),
    )


_MODERN = Numbers(
    allowed_border=-1,
    batch=512,
    min_size=0,
    train_topn=(2000, 2000),
    test_topn=(1000, 1000),
    warm_up=(1000, 1e-6),
)
_TINY = Numbers(
    allowed_border=8,
    rpn_batch=128,
    batch=64,
    images=2,
    min_size=4,
    train_topn=(2000, 300),
    test_topn=(1000, 300),
    warm_up=(100, 0.001),
    clip=10,
    display=100,
    window_batch=64,
    schedules=(
        ("faster", Schedule(2600, 2000, rate=0.02)),
        ("fast", Schedule(2600, 2000, rate=0.02)),
        ("rpn", Schedule(1600, 1200, rate=0.02)),
        ("rcnn", Schedule(700, 500, rate=0.05)),
    ),
)


def numbers(arch: str, preset: str = "classic") -> Numbers:
    """The numbers of a backbone. Raises UsageError for a preset that there is not."""
    if preset not in PRESETS:
        raise UsageError(f"preset: expected {' or '.join(PRESETS)}, got '{preset}'")
    found = {"tiny": _TINY, "resnet50": Numbers(decay=0.0001)}.get(arch, Numbers())
    if preset == "classic":
        return found
    modern = replace(_MODERN, decay=found.decay)
    if arch != "tiny":
        return modern
    return replace(found, allowed_border=-1, min_size=0, batch=128)


@dataclass(frozen=True)
class Plan:
    """All that the text of the nets depends on."""

    arch: Arch
    classes: int  # with background
    anchors: Mapping[str, object]  # base_size, scales, ratios
    numbers: Numbers
    side: int  # of the image that test.prototxt's input says; any other does
    means: tuple[float, float, float]

    @property
    def count(self) -> int:
        """Anchors of a position."""
        scales, ratios = self.anchors["scales"], self.anchors["ratios"]
        return len(scales) * len(ratios)  # type: ignore[arg-type]

    @property
    def anchor_fields(self) -> Fields:
        """The anchors as AnchorTarget and Proposal take them."""
        named = {"base_size": "base_size", "ratio": "ratios", "scale": "scales"}
        return {"feat_stride": self.arch.stride, **{key: self.anchors[name] for key, name in named.items()}}


def arch_of(name: str) -> Arch:
    """Raises UsageError for a backbone that there is not."""
    if name not in ARCHS:
        raise UsageError(f"arch: expected one of {', '.join(ARCHS)}, got '{name}'")
    return ARCHS[name]
