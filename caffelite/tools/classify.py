"""Predictions of a Classifier for images: Caffe's python/classify.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from caffelite.atomic import atomic_write, check_target
from caffelite.classifier import Classifier
from caffelite.data.mean import read_mean
from caffelite.errors import DataError, MissingFileError
from caffelite.io import load_image

ILSVRC_2012_MEAN = np.array([104.00698793, 116.66876762, 122.67891434], np.float32)
"""The mean colour (blue, green, red) of Caffe's ilsvrc_2012_mean.npy."""

_CHUNK = 32  # images in memory at a time, with ten crops of each


def classify(classifier: Classifier, images: Iterable[np.ndarray], oversample: bool = True) -> np.ndarray:
    """Predictions (N, classes) for any number of images (H, W, K), few of them in memory.

    Raises UsageError as Classifier.predict does.
    """
    parts, rest = [], iter(images)
    while chunk := list(islice(rest, _CHUNK)):
        parts.append(classifier.predict(chunk, oversample))
    return np.concatenate(parts) if parts else classifier.predict([], oversample)


def images_of(path: str | Path, ending: str = "jpg") -> tuple[Sequence[Path], Iterator[np.ndarray]]:
    """The images of a file, a folder or an array (``.npy``: (N, H, W, K)); first their files, if any.

    ``ending``: that of the images in a folder, which are taken in the order of their names.

    Raises:
        MissingFileError, DataError: no such file, no images in the folder, or (while iterating) a broken
            image.
    """
    source = Path(path)
    if source.suffix == ".npy":
        images = load_array(source)
        return [], iter(images[np.newaxis] if images.ndim == 3 else images)
    files = sorted(source.glob(f"*.{ending}")) if source.is_dir() else [source]
    if not files:
        raise DataError(f"folder '{source}' holds no file '*.{ending}'\n  Fix: --ext png, say")
    return files, map(load_image, files)


def load_mean(path: str | Path) -> np.ndarray:
    """A mean image (C, H, W) or colour (C,): an array (``.npy``) or a BlobProto (``.binaryproto``).

    Raises:
        MissingFileError, DataError: no such file, or one of another kind.
    """
    return load_array(path) if Path(path).suffix == ".npy" else read_mean(path)


def load_array(path: str | Path) -> np.ndarray:
    """The array of a ``.npy`` file.

    Raises:
        MissingFileError, DataError: no such file, or one of another kind.
    """
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise MissingFileError(path, "array") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"'{path}' is no array of numbers (.npy): {error}") from error
    return array


def array_file(path: str | Path) -> Path:
    """Where :func:`save_array` writes: ``.npy`` is added if it is missing. Raises SnapshotError if it cannot."""
    target = Path(path)
    target = target if target.suffix == ".npy" else Path(f"{target}.npy")
    check_target(target)
    return target


def save_array(path: str | Path, array: np.ndarray) -> None:
    """Writes an array as ``.npy``, an ending that is added if it is missing. Raises SnapshotError."""
    with atomic_write(array_file(path)) as file:
        np.save(file, array)
