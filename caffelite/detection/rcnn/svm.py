"""Linear SVMs of R-CNN, one for each class, with one pass of mining for hard negatives.

Source: rcnn_train.m of rbgirshick/rcnn and Girshick et al. 2014: liblinear's L1-loss SVM with C = 0.001, a bias feature
of 10, positives that weigh 2. Positives are the objects alone; negatives are proposals that overlap with no object of
the class by 0.3 or more.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from caffelite.boxes.boxes import Array
from caffelite.detection.rcnn.regions import Regions
from caffelite.errors import DataError, UsageError
from caffelite.random import RandomSource

_log = logging.getLogger(__name__)

_SAMPLE = 200  # pictures that the mean norm is taken of
_EVERY = 200  # pictures between lines of progress
_NEVER = -100.0  # bias of an SVM that never fires

Tell = Callable[[str], None]


class Rows(Protocol):
    """Features of each picture's regions: ``rows[i]`` is float32 (R, D)."""

    def __getitem__(self, i: int) -> Array: ...


@dataclass(frozen=True)
class SvmOptions:
    """How SVMs are trained; the defaults are R-CNN's."""

    C: float = 1e-3
    bias: float = 10.0
    positive_weight: float = 2.0
    norm: float = 20.0  # features are scaled so that this is their mean norm
    overlap: float = 0.3  # from here on a proposal is no negative
    hard: float = -1.0001  # negatives above are added
    easy: float = -1.2  # negatives below are dropped after training
    retrain: int = 2000  # train anew when more than so many were added
    seed: int = 3


RCNN = SvmOptions()


@dataclass(frozen=True, eq=False)
class Svms:
    """Margins are x W' + b: ``weights`` W float32 (C, D), ``biases`` b float32 (C,); features need no scaling."""

    weights: Array
    biases: Array

    def margins(self, x: Array) -> Array:
        """float32 (R, C) of features (R, D): above 0 is the class, above 1 surely so."""
        found: Array = x @ self.weights.T + self.biases
        return found


def train_svms(
    regions: Sequence[Regions],
    features: Rows,
    classes: Sequence[str],
    options: SvmOptions = RCNN,
    tell: Tell | None = None,
) -> Svms:
    """One SVM for each class, from the features of all regions of all pictures.

    A class without objects gets an SVM that never fires, and a warning. All negatives of the first pictures are taken,
    then those that are hard for the SVMs so far; what they find easy after training is dropped again.

    Raises:
        UsageError: scikit-learn, which has liblinear, is not installed.
        DataError: no object of any class, or no negative for a class.
    """
    require_liblinear()
    scale = np.float32(options.norm / mean_norm(features, len(regions), options.seed))
    positives = _positives(regions, features, len(classes), scale)
    if not any(len(rows) for rows in positives):
        raise DataError("the training pictures have no objects: there is nothing to learn")
    miners = [_Miner(rows, options) for rows in positives]
    for name, rows in zip(classes, positives, strict=True):
        if not len(rows):
            _log.warning(
                "class '%s' has no objects in the training pictures: it will never be detected", name
            )
    for i, one in enumerate(regions):
        _mine(one, features[i] * scale, miners, options)
        if tell and (i + 1) % _EVERY == 0:
            tell(f"negatives of {i + 1} of {len(regions)} pictures: {sum(len(m.negatives) for m in miners)}")
    for name, miner in zip(classes, miners, strict=True):
        miner.finish(name)
    weights = np.stack([miner.weights for miner in miners]) * scale
    return Svms(weights, np.array([miner.bias for miner in miners], np.float32))


def mean_norm(features: Rows, count: int, seed: int) -> float:
    """The mean length of feature vectors, of up to 200 of the pictures. Raises DataError if all are 0."""
    chosen = RandomSource(seed).permutation(count, "norm")[:_SAMPLE]
    norms = np.concatenate(
        [np.linalg.norm(features[int(i)], axis=1) for i in np.sort(chosen)] or [np.zeros(0)]
    )
    if not norms.any():
        raise DataError(
            "all features are 0, or there are none\n  Fix: train the net longer, or at a lower rate"
        )
    return float(norms.mean())


def _positives(regions: Sequence[Regions], features: Rows, classes: int, scale: np.float32) -> list[Array]:
    """Scaled features of the objects of each class."""
    objects = [features[i][: one.objects] * scale for i, one in enumerate(regions)]
    rows = np.concatenate(objects)
    labels = np.concatenate([one.labels for one in regions])
    return [rows[labels == label] for label in range(1, classes + 1)]


def _mine(one: Regions, x: Array, miners: Sequence[_Miner], options: SvmOptions) -> None:
    margins = x @ np.stack([miner.weights for miner in miners]).T + [miner.bias for miner in miners]
    for label, miner in enumerate(miners, 1):
        if not len(miner.positives):
            continue
        chosen = one.free_of(label, options.overlap)
        if miner.trained:
            chosen &= margins[:, label - 1] > options.hard
        miner.add(x[chosen])


class _Miner:
    """The SVM of one class as it grows."""

    def __init__(self, positives: Array, options: SvmOptions):
        self.positives, self._options = positives, options
        self.negatives = positives[:0]
        self.weights, self.bias = np.zeros(positives.shape[1], np.float32), np.float32(_NEVER)
        self.trained = False
        self._new: list[Array] = []

    def add(self, rows: Array) -> None:
        if len(rows):
            self._new.append(rows)
        if self._new and (not self.trained or sum(map(len, self._new)) > self._options.retrain):
            self._train()

    def finish(self, name: str) -> None:
        """Trains for the last time. Raises DataError if there was no negative."""
        if not len(self.positives):
            return
        if not self.trained:
            fix = "give more proposals, or pictures without it"
            raise DataError(
                f"class '{name}': every proposal of every picture overlaps with one\n  Fix: {fix}"
            )
        if self._new:
            self._train()

    def _train(self) -> None:
        self.negatives, self._new = np.concatenate([self.negatives, *self._new]), []
        self.weights, self.bias = fit(self.positives, self.negatives, self._options)
        self.trained = True
        self.negatives = self.negatives[self.negatives @ self.weights + self.bias >= self._options.easy]


def fit(positives: Array, negatives: Array, options: SvmOptions = RCNN) -> tuple[Array, np.float32]:
    """Weights float32 (D,) and bias of the SVM that tells rows from rows, by liblinear."""
    x = np.concatenate([positives, negatives]).astype(np.float64)
    y = np.repeat([1, -1], [len(positives), len(negatives)])
    machine = require_liblinear()(
        C=options.C,
        loss="hinge",
        dual=True,
        class_weight={1: options.positive_weight, -1: 1.0},
        intercept_scaling=options.bias,
        tol=1e-3,
        max_iter=10000,
        random_state=options.seed,
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        machine.fit(x, y)
    for warning in told:
        _log.warning("SVM: %s", warning.message)
    return machine.coef_[0].astype(np.float32), np.float32(machine.intercept_[0])


def require_liblinear() -> Any:
    """The class LinearSVC. Raises UsageError if scikit-learn is not installed."""
    try:
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise UsageError(f"SVMs need scikit-learn: {error}\n  Fix: pip install 'caffelite[apps]'") from error
    return LinearSVC
