"""Learns BING's filter and lines from pictures with boxes of any classes.

Two things matter. Windows are cut from the gradients of the whole resized image, as they will be seen, and not from the
resized window, whose border has no outside. And images are shrunk with smoothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from caffelite.boxes.boxes import overlaps
from caffelite.detection.dataset import DetectionSet, Picture
from caffelite.detection.pictures import load_picture
from caffelite.detection.proposals.bing import PEAKS, SIDE, SIZES, Model, normed_gradients, windows
from caffelite.errors import DataError
from caffelite.random import RandomSource

IOU = 0.5
_LEAST = 10  # objects of a size, without which it is not learned
_NEGATIVES = 50  # windows without an object from each picture
_COST = 0.001
_STEPS = 50


def train(dataset: DetectionSet, *, seed: int = 0, tell: Callable[[str], None] = lambda _: None) -> Model:
    """A model learned from the objects of a set that are not difficult.

    ``tell``: is told, line by line, what is done.

    Raises:
        DataError: there are too few objects.
    """
    right, wrong, numbers = [], [], []
    for picture in dataset.pictures:
        random = RandomSource(seed).generator("bing", picture.key)
        image, objects = load_picture(picture.path), picture.boxes[~picture.difficult]
        for number, patch in _objects(image, objects):
            right += [patch, patch[:, ::-1]]
            numbers.append(number)
        wrong += _background(image, objects, random)
    sizes = np.flatnonzero(np.bincount(numbers, minlength=len(SIZES)) >= _LEAST)
    if not len(sizes) or not wrong:
        raise DataError(
            f"BING: set '{dataset.name}' has too few objects to learn from: {len(numbers)} windows of them"
        )
    tell(f"stage I: {len(right)} windows with objects, {len(wrong)} without, {len(sizes)} sizes")
    filter_ = _filter(np.array(right), np.array(wrong))
    tell(f"stage II: lines of {len(sizes)} sizes")
    return Model(filter_, sizes, _lines(dataset.pictures, filter_, sizes))


def _objects(image: np.ndarray, objects: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The windows that overlap an object well: the number of their size, and their gradients (8, 8)."""
    for number in range(len(SIZES)):
        scaled = normed_gradients(image, number)
        if scaled is None:
            continue
        gradients, size = scaled
        for box, x, y in zip(*_nearest(objects, gradients.shape, size), strict=True):
            if overlaps(box[None], _window(x, y, size)[None])[0, 0] > IOU:
                yield number, gradients[y : y + SIDE, x : x + SIDE]


def _nearest(
    objects: np.ndarray, shape: tuple[int, ...], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The objects, and column and row of the window whose centre is nearest to the centre of each."""
    middle = (objects[:, :2] + objects[:, 2:] + 1) / 2
    corner = np.round((middle - np.array(size) / 2) * SIDE / np.array(size)).astype(int)
    last = np.array([shape[1] - SIDE, shape[0] - SIDE])
    x, y = np.clip(corner, 0, np.maximum(last, 0)).T
    return objects, x, y


def _window(x: int, y: int, size: tuple[int, int]) -> np.ndarray:
    left, top = round(x * size[0] / SIDE), round(y * size[1] / SIDE)
    return np.array([left, top, left + size[0] - 1, top + size[1] - 1], np.float64)


def _background(image: np.ndarray, objects: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    """Gradients of random windows of random sizes that overlap no object well."""
    found = []
    maps = {number: scaled for number in range(len(SIZES)) if (scaled := normed_gradients(image, number))}
    for number in random.choice(list(maps), _NEGATIVES) if maps else ():
        gradients, size = maps[int(number)]
        rows, columns = (n - SIDE + 1 for n in gradients.shape)
        if rows < 1 or columns < 1:
            continue
        x, y = int(random.integers(columns)), int(random.integers(rows))
        if overlaps(_window(x, y, size)[None], objects).max(initial=0) <= IOU:
            found.append(gradients[y : y + SIDE, x : x + SIDE])
    return found


def _filter(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Stage I: a linear support vector machine of windows (K, 8, 8); the offset is the same for all, and left out."""
    x = np.concatenate([right, wrong]).reshape(-1, SIDE * SIDE) / 255.0
    x = np.column_stack([x, np.ones(len(x))])
    y = np.repeat([1.0, -1.0], [len(right), len(wrong)])
    weight = np.repeat([1 / len(right), 1 / len(wrong)], [len(right), len(wrong)]) * len(y) / 2
    w = np.zeros(x.shape[1])
    for _ in range(_STEPS):  # Newton's steps on the squared hinge loss
        active = y * (x @ w) < 1
        weighted = x[active].T * (weight[active] * _COST)
        step = np.linalg.solve(weighted @ x[active] + np.eye(len(w)), weighted @ y[active]) - w
        w += step
        if np.abs(step).max() < 1e-9:
            break
    return (w[:-1] / 255).reshape(SIDE, SIDE).astype(np.float32)


def _lines(pictures: Iterable[Picture], filter_: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Stage II: for each size the line whose values are the log odds that a peak overlaps an object."""
    peaks: dict[int, list[np.ndarray]] = {int(number): [np.empty((0, 2))] for number in sizes}
    for picture in pictures:
        image, objects = load_picture(picture.path), picture.boxes[~picture.difficult]
        for number, found in peaks.items():
            seen = windows(image, filter_, number, PEAKS)
            if seen is not None:
                hit = overlaps(seen[0], objects).max(axis=1, initial=0) > IOU
                found.append(np.column_stack([seen[1], hit]))
    return np.array([_line(*np.concatenate(found).T) for found in peaks.values()], np.float32)


def _line(peaks: np.ndarray, hit: np.ndarray) -> tuple[float, float]:
    """Logistic regression of one variable by Newton's steps, held back as by one hit and one miss more."""
    mean, spread = (float(peaks.mean()), float(peaks.std()) or 1.0) if len(peaks) else (0.0, 1.0)
    x = np.column_stack([(peaks - mean) / spread, np.ones(len(peaks))])
    w = np.zeros(2)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-x @ w))
        gradient = x.T @ (hit - p) - w
        hessian = (x.T * (p * (1 - p))) @ x + np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        w += step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break
    return w[0] / spread, w[1] - w[0] * mean / spread
