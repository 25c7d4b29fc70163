"""The card of a detector: what must be known of it besides its nets and weights."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from caffelite.atomic import atomic_write
from caffelite.boxes.config import defaults
from caffelite.errors import CaffeliteError, DataError, MissingFileError, UsageError
from caffelite.prototxt.suggest import suggestion

CARD = "detector.json"
METHODS = ("rcnn", "fast", "faster", "faster-4step")


@dataclass(frozen=True)
class Card:
    """A detector's method, classes, and how images reach its net.

    Raises UsageError for values that no detector can have.
    """

    method: str
    arch: str  # tiny, caffenet, vgg_cnn_m, zf, vgg16, resnet50, or "" for a user's own
    classes: tuple[str, ...]  # without background
    means: tuple[float, float, float] = (102.9801, 115.9465, 122.7717)  # B, G, R
    scales: tuple[int, ...] = (600,)  # of the short side, at test
    max_size: int = 1000  # of the long side
    nms: float = 0.3  # at test: of two boxes of a class that overlap by more, the worse one goes
    score: float = 0.05  # at test: the least score that is reported
    limit: int = 100  # at test: boxes of an image, all classes together; 0: all
    anchors: dict[str, Any] = field(default_factory=dict)  # base_size, scales, ratios, feat_stride
    proposals: str = ""  # of rcnn and fast: the method of caffelite.detection.proposals
    config: dict[str, Any] = field(
        default_factory=dict
    )  # {"TRAIN.FLAG": value}: cfg's other than the defaults

    def __post_init__(self) -> None:
        for name in ("classes", "means", "scales"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, (expected, fits) in _CHECKS.items():
            if not fits(getattr(self, name)):
                raise UsageError(f"{name}: expected {expected}, got {getattr(self, name)!r}")
        trial = defaults()
        for key, value in self.config.items():
            trial.set(key, value)

    @property
    def has_rpn(self) -> bool:
        """Whether the net proposes regions itself."""
        return self.method.startswith("faster")

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Writes ``detector.json`` into a folder that exists."""
        path = Path(folder) / CARD
        with atomic_write(path) as file:
            file.write((json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n").encode())
        return path

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Card:
        """The card of a detector's folder, or of a file.

        Raises:
            MissingFileError: there is none.
            DataError: it is no card; the message says key, expected and got.
        """
        path = Path(folder)
        path = path / CARD if path.is_dir() else path
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise MissingFileError(
                path, "detector's card", "caffelite det init makes a detector's folder"
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"'{path}' cannot be read as a detector's card: {error}") from error
        try:
            return cls(**_known(values))
        except CaffeliteError as error:
            raise DataError(f"{path}: {error}") from error


def _known(values: Any) -> Mapping[str, Any]:
    if not isinstance(values, dict):
        raise DataError(f"expected an object with method, arch, classes, ..., got {type(values).__name__}")
    names = [one.name for one in fields(Card)]
    for name in values.keys() - set(names):
        raise DataError(f"there is no key '{name}'{suggestion(name, names)}")
    for name in ("method", "arch", "classes"):
        if name not in values:
            raise DataError(f"{name}: expected {_CHECKS[name][0]}, got nothing")
    return values


def _is_number(value: Any, least: float = 0, most: float = float("inf")) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _is_whole(value: Any) -> bool:
    return _is_number(value, 1) and isinstance(value, int)


def _are_anchors(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    sizes = [value[name] for name in ("base_size", "feat_stride") if name in value]
    lists = [value[name] for name in ("scales", "ratios") if name in value]
    if not all(isinstance(one, list | tuple) and one for one in lists):
        return False
    return all(_is_number(one) and one > 0 for one in itertools.chain(sizes, *lists))


def _are_names(value: Any) -> bool:
    if not isinstance(value, tuple) or not all(isinstance(name, str) and name for name in value):
        return False
    return 0 < len(value) == len({*value, "__background__"}) - 1


_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "method": (f"one of {', '.join(METHODS)}", lambda value: value in METHODS),
    "arch": ("a text", lambda value: isinstance(value, str)),
    "classes": ("different names of classes, without __background__", _are_names),
    "means": (
        "three numbers, of blue, green and red",
        lambda value: isinstance(value, tuple) and len(value) == 3 and all(map(_is_number, value)),
    ),
    "scales": (
        "whole numbers of pixels, 1 or more",
        lambda value: isinstance(value, tuple) and bool(value) and all(map(_is_whole, value)),
    ),
    "max_size": ("a whole number of pixels, 1 or more", _is_whole),
    "nms": ("a share, 0 to 1", lambda value: _is_number(value, 0, 1)),
    "score": ("a share, 0 to 1", lambda value: _is_number(value, 0, 1)),
    "limit": (
        "a whole number of boxes, or 0 for all",
        lambda value: _is_number(value) and isinstance(value, int),
    ),
    "anchors": ("an object with base_size, feat_stride, scales, ratios above 0", _are_anchors),
    "proposals": ("a text", lambda value: isinstance(value, str)),
    "config": (
        "an object of settings such as TRAIN.BATCH_SIZE",
        lambda value: isinstance(value, dict) and all(isinstance(key, str) for key in value),
    ),
}
