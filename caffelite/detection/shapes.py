"""The shapes set: pictures of circles, squares and triangles to try a detector on, made in seconds.

Shapes differ in size, colour and texture, are a little turned, hide parts of one another and reach out of the picture, among
lines and specks that are no shapes. What hardly differs from its background is difficult; a few pictures are empty. The
hard kind has more of all: smaller shapes, any turn, shapes nearly hidden, patterns of strong contrast.
Arrays alone draw them, so the same seed gives the same pixels everywhere, before JPEG rounds them.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffelite.atomic import make_folder
from caffelite.detection.dataset import Picture
from caffelite.detection.formats.voc_writer import ANNOTATIONS, IMAGES, LISTS, annotation
from caffelite.detection.pictures import write_picture
from caffelite.errors import SnapshotError, UsageError
from caffelite.random import RandomSource

CLASSES = ("circle", "square", "triangle", "star", "cross", "ring")
_EMPTY = 0.04  # pictures without shapes
_LEAST_SIZE = 32  # pixels of a picture
_DIFFICULT_SEEN = 0.55  # part of a shape that others leave free
_DIFFICULT_CONTRAST = 30  # mean difference to the background, in levels
_MOST = 5  # shapes in a picture
_TRIES = 20


@dataclass(frozen=True)
class Style:
    """How much the shapes of a set vary."""

    radii: tuple[float, float]  # as parts of the picture
    turn: float  # at most, either way, in radians
    least_seen: float  # part of a shape that others leave free
    contrast: float  # of the two colours of a pattern, in levels


EASY = Style(radii=(0.09, 0.22), turn=0.3, least_seen=0.7, contrast=25)
HARD = Style(radii=(0.07, 0.22), turn=np.pi, least_seen=0.25, contrast=60)


def make_shapes(
    folder: str | os.PathLike[str],
    images: int = 400,
    test: int = 100,
    size: int = 128,
    classes: int = 3,
    seed: int = 0,
    hard: bool = False,
) -> Path:
    """Makes the set as a VOC folder with the splits train (``images``) and test, whole or not at all.

    ``size``: pixels of a side. ``classes``: 1 to 6 of circle, square, triangle, star, cross, ring. ``hard``: whether shapes
    may be turned any way, nearly hidden, and smaller.

    Raises:
        UsageError: a number out of range.
        SnapshotError: the folder is there and not empty, or cannot be written.
    """
    _check(images, test, size, classes)
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SnapshotError(f"'{target}' is there already\n  Fix: remove it, or name another folder")
    make_folder(target.absolute().parent)
    work = target.absolute().with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        _write(work, {"train": images, "test": test}, size, CLASSES[:classes], seed, HARD if hard else EASY)
        if target.exists():
            target.rmdir()
        work.rename(target)
    except OSError as error:
        raise SnapshotError(f"cannot write '{target}': {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _check(images: int, test: int, size: int, classes: int) -> None:
    if images < 1 or test < 0:
        raise UsageError(f"shapes: expected at least 1 image, and 0 for the test, got {images} and {test}")
    if size < _LEAST_SIZE:
        raise UsageError(f"shapes: expected a size of at least {_LEAST_SIZE} pixels, got {size}")
    if not 1 <= classes <= len(CLASSES):
        raise UsageError(f"shapes: expected 1 to {len(CLASSES)} classes, got {classes}")


def _write(
    root: Path, splits: dict[str, int], size: int, classes: tuple[str, ...], seed: int, style: Style
) -> None:
    for name in (ANNOTATIONS, IMAGES, LISTS):
        (root / name).mkdir(parents=True)
    source, number = RandomSource(seed), 0
    for split, count in splits.items():
        keys = [f"{index:06d}" for index in range(number, number + count)]
        (root / LISTS / f"{split}.txt").write_text("".join(f"{key}\n" for key in keys), encoding="ascii")
        for key in keys:
            image, picture = draw_shapes(source.generator("shapes", int(key)), size, len(classes), key, style)
            write_picture(root / IMAGES / f"{key}.jpg", image)
            text = annotation(picture, classes, f"{key}.jpg")
            (root / ANNOTATIONS / f"{key}.xml").write_text(text, encoding="utf-8")
        number += count


# -- a picture -----------------------------------------------------------------------------------------------


@dataclass
class _Shape:
    """A shape in a picture: its label, its pixels that are to be seen, and its box and area before others hide it."""

    label: int
    mask: np.ndarray  # (H, W) bool
    box: tuple[int, int, int, int]
    area: int
    difficult: bool = False


def draw_shapes(
    random: np.random.Generator, size: int, classes: int, key: str = "", style: Style = EASY
) -> tuple[np.ndarray, Picture]:
    """A picture (size, size, 3) uint8 and what is in it."""
    image = _background(random, size)
    shapes: list[_Shape] = []
    wanted = 0 if random.random() < _EMPTY else 1 + int(random.integers(_MOST))
    for _ in range(wanted):
        _add_shape(image, shapes, random, classes, style)
    _add_specks(image, random)
    noisy = image + random.normal(0, random.uniform(2, 8), image.shape)
    picture = Picture(
        key,
        Path(f"{key}.jpg"),
        size,
        size,
        np.array([shape.box for shape in shapes], np.float32).reshape(-1, 4),
        np.array([shape.label for shape in shapes], np.int64),
        np.array([shape.difficult for shape in shapes], bool),
    )
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8), picture


def _background(random: np.random.Generator, size: int) -> np.ndarray:
    """Two blurred colours with a pattern and some lines."""
    y, x = _grid(size)
    low, high = random.uniform(20, 235, (2, 3))
    phase = random.uniform(0, 2 * np.pi, 2)
    waves = random.uniform(0.5, 3, 2)
    mix = 0.5 + 0.25 * (np.sin(waves[0] * 6 * x + phase[0]) + np.sin(waves[1] * 6 * y + phase[1]))
    image = low + (high - low) * mix[:, :, None]
    for _ in range(int(random.integers(4))):
        angle, offset = random.uniform(0, np.pi), random.uniform(0.2, 0.8)
        distance = np.abs((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) + 0.5 - offset)
        image[distance < random.uniform(0.004, 0.012)] = random.uniform(0, 255, 3)
    return np.asarray(image)


def _add_shape(
    image: np.ndarray, shapes: list[_Shape], random: np.random.Generator, classes: int, style: Style
) -> None:
    """Draws one more shape, where it leaves enough of the others to be seen; none if there is no such place."""
    size = len(image)
    label = 1 + int(random.integers(classes))
    for _ in range(_TRIES):
        radius = np.exp(random.uniform(*np.log(style.radii)))
        centre = random.uniform(0.6 * radius, 1 - 0.6 * radius, 2)
        angle = random.uniform(-style.turn, style.turn)
        mask, box = _mask(CLASSES[label - 1], size, centre, radius, angle)
        seen = [_seen(shape, mask) for shape in shapes]
        if mask.any() and all(part >= style.least_seen for part in seen):
            break
    else:
        return
    contrast = _paint(image, mask, random, style.contrast)
    for shape, part in zip(shapes, seen, strict=True):
        shape.mask &= ~mask
        shape.difficult |= part < _DIFFICULT_SEEN
    shapes.append(_Shape(label, mask, box, int(mask.sum()), contrast < _DIFFICULT_CONTRAST))


def _seen(shape: _Shape, mask: np.ndarray) -> float:
    """The part of a shape that is left to see if a mask goes over it."""
    return float(np.count_nonzero(shape.mask & ~mask)) / shape.area


def _paint(image: np.ndarray, mask: np.ndarray, random: np.random.Generator, spread: float) -> float:
    """Fills a mask with a colour or a pattern of two; how much it differs from what was there."""
    y, x = _grid(len(image))
    first = random.uniform(0, 255, 3)
    second = np.clip(first + random.normal(0, spread, 3), 0, 255)
    angle, width = random.uniform(0, np.pi), random.uniform(0.02, 0.06)
    along = (x * np.cos(angle) + y * np.sin(angle)) / width
    across = (y * np.cos(angle) - x * np.sin(angle)) / width
    kinds = (np.zeros_like(x), along % 2 < 1, (along // 1 + across // 1) % 2, 0.5 + 0.5 * np.sin(along / 4))
    pattern = np.asarray(kinds[int(random.integers(len(kinds)))], np.float64)[:, :, None]
    paint = first + (second - first) * pattern
    contrast = float(np.abs(paint[mask] - image[mask]).mean())
    image[mask] = paint[mask]
    return contrast


def _add_specks(image: np.ndarray, random: np.random.Generator) -> None:
    """Small spots of clutter, some of them on the shapes."""
    y, x = _grid(len(image))
    for _ in range(int(random.integers(8))):
        centre, radii = random.uniform(0, 1, 2), random.uniform(0.008, 0.025, 2)
        spot = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1
        image[spot] = random.uniform(0, 255, 3)


# -- outlines ------------------------------------------------------------------------------------------------


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels' centres, from 0 to 1."""
    centres = (np.arange(size) + 0.5) / size
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return y, x


def _mask(
    name: str, size: int, centre: np.ndarray, radius: float, angle: float
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """The pixels of a turned shape, and the box around those that are in the picture."""
    y, x = _grid(size)
    x, y = (x - centre[0]) / radius, (y - centre[1]) / radius
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    mask = _OUTLINES[name](u, v)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return mask, (0, 0, 0, 0)
    return mask, (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    turn = 2 * np.pi / 5
    from_tip = np.abs((np.arctan2(v, u) + turn / 2) % turn - turn / 2)
    return np.asarray(np.hypot(u, v) * np.sin(from_tip + np.pi / 10) < np.sin(np.pi / 10))


_OUTLINES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": lambda u, v: u * u + v * v < 1,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) < 0.8,
    "triangle": lambda u, v: (v > -0.5) & (np.sqrt(3) * np.abs(u) + v < 1),
    "star": _star,
    "cross": lambda u, v: (
        (np.minimum(np.abs(u), np.abs(v)) < 0.3) & (np.maximum(np.abs(u), np.abs(v)) < 0.95)
    ),
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.8) < 0.2,
}
