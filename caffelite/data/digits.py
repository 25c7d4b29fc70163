"""The demo's data: 1797 handwritten digits of 8 x 8 pixels that come with scikit-learn.

Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository
(1998).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from caffelite.atomic import make_folder
from caffelite.data import opencv
from caffelite.data.datum import Datum
from caffelite.data.lmdb import LmdbWriter
from caffelite.data.owner import NOBODY
from caffelite.random import RandomSource

SIZE = 28  # MNIST's: the demo trains the same LeNet
_BODY = 20  # what the digit fills of it, as in MNIST
_BRIGHTEST = 16
_TEST_OF = 5  # each fifth digit of the shuffled data is for testing


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (1797, 28, 28), white on black like MNIST's, and labels (1797,).

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits as load
    except ImportError as error:
        fix = "pip install 'caffelite[demo]'"
        raise NOBODY.error(f"the digits come with scikit-learn: {error}", fix=fix) from error
    images, labels = load(return_X_y=True)
    return _enlarge(images.reshape(-1, 8, 8)), labels


def make_digits(target: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Writes ``digits_train_lmdb`` (1438 digits) and ``digits_test_lmdb`` (359) into ``target``.

    The division is the same everywhere: digits shuffled with a fixed seed, each fifth of them for testing.

    Raises:
        DataError: scikit-learn is not installed, or the databases exist.
    """
    images, labels = load_digits()
    order = RandomSource(0).permutation(len(images), "digits")
    is_test = np.arange(len(order)) % _TEST_OF == _TEST_OF - 1
    folder = make_folder(target)
    paths = folder / "digits_train_lmdb", folder / "digits_test_lmdb"
    for path, chosen in zip(paths, (order[~is_test], order[is_test]), strict=True):
        with LmdbWriter(path) as writer:
            for number in chosen:
                writer.put(Datum(1, SIZE, SIZE, images[number].tobytes(), int(labels[number])))
    return paths


def _enlarge(images: np.ndarray) -> np.ndarray:
    """From 8 x 8 with values 0 to 16 to 28 x 28 with values 0 to 255."""
    cv2, edge = opencv.load(), (SIZE - _BODY) // 2
    out = np.zeros((len(images), SIZE, SIZE), np.uint8)
    for image, y in zip(images, out, strict=True):
        large = cv2.resize(image * (255 / _BRIGHTEST), (_BODY, _BODY), interpolation=cv2.INTER_CUBIC)
        y[edge:-edge, edge:-edge] = np.clip(np.rint(large), 0, 255)
    return out
