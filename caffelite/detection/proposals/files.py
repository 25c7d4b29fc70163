"""Files of proposals: our own .npz; and read, the MATLAB files and pickles of R-CNN, Fast R-CNN and their followers.

MATLAB files come in two conventions that nothing in them tells apart: the lists of Selective Search have y1, x1, y2, x2
counted from 1, others, such as the demo of Fast R-CNN, x1, y1, x2, y2 counted from 0. They are told apart by the sizes of
the pictures, if those are given, and what was taken is logged.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.atomic import atomic_write, make_folder
from caffelite.detection.dataset import DetectionSet, Picture
from caffelite.detection.detection_files import image_ids
from caffelite.detection.packed import pack, unpack
from caffelite.detection.proposals.matlab import read_mat
from caffelite.detection.proposals.tidy import Boxes, falling
from caffelite.detection.safe_pickle import read_pickle
from caffelite.errors import DataError, MissingFileError, UsageError

Proposals = dict[str, Boxes]
"""Key of a picture -> boxes float32 (K, 4) and scores float32 (K,), best first."""

_ARRAYS = {"boxes": (4,), "scores": ()}  # shapes of their rows
_THINNEST = 2  # pixels, of what is read from MATLAB files

_log = logging.getLogger(__name__)

ORDERS = {"xyxy": "x1, y1, x2, y2 counted from 0", "yxyx": "y1, x1, y2, x2 counted from 1"}


def write_proposals(path: str | os.PathLike[str], proposals: Mapping[str, Boxes]) -> None:
    """Writes .npz: ``keys``, ``counts``, and all ``boxes`` and ``scores`` one after the other. Folders are made.

    Raises:
        UsageError: the name ends otherwise.
        SnapshotError: it cannot be written there.
    """
    target = check_name(path)
    make_folder(target.parent)
    with atomic_write(target) as out:
        out.write(pack(proposals, _ARRAYS))


def check_name(path: str | os.PathLike[str]) -> Path:
    """The path of a file to be written. Raises UsageError unless its name ends in .npz."""
    target = Path(path)
    if target.suffix.lower() != ".npz":
        raise UsageError(f"proposals '{target}': expected a name that ends in .npz")
    return target


def read_proposals(
    path: str | os.PathLike[str], dataset: DetectionSet | None = None, *, order: str = ""
) -> Proposals:
    """Proposals from .npz, .mat or .pkl.

    ``dataset``: the pictures in the order of the file, for files that name none (Fast R-CNN's pickles and most MATLAB
    files); it also helps to tell their conventions apart. ``order``: "xyxy" or "yxyx" says which it is. Boxes without
    scores get falling ones: they are taken to be in order.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is broken, or of other pictures than the set's.
        UsageError: it names no pictures and no set is given.
    """
    file = Path(path)
    if not file.exists():
        raise MissingFileError(file, "proposals")
    if order and order not in ORDERS:
        raise UsageError(f"order: expected {' or '.join(ORDERS)}, got '{order}'")
    if file.suffix.lower() == ".npz":
        return _read_npz(file)
    if file.suffix.lower() == ".mat":
        return _read_mat(file, dataset, order)
    if file.suffix.lower() == ".pkl":
        return _read_pickle(file, dataset)
    raise DataError(f"proposals '{file}': expected a name that ends in .npz, .mat or .pkl")


def _read_npz(file: Path) -> Proposals:
    places, found = unpack(file, "proposals", _ARRAYS)
    return {key: (found["boxes"][place], found["scores"][place]) for key, place in places.items()}


# -- pickles -------------------------------------------------------------------------------------------------


def _read_pickle(file: Path, dataset: DetectionSet | None) -> Proposals:
    content = read_pickle(file)
    if not isinstance(content, dict):
        boxes = _listed(file, content)
        return dict(zip(_keys(file, dataset, len(boxes)), map(_scored, boxes), strict=True))
    boxes = _listed(file, content.get("boxes"))
    scores = content.get("scores")
    lists: Sequence[Any] = [None] * len(boxes) if scores is None else scores
    ids = content.get("ids", content.get("indexes"))
    keys = _keys(file, dataset, len(boxes)) if ids is None else _named(ids, dataset)
    if not len(keys) == len(boxes) == _length(lists):
        raise DataError(
            f"proposals '{file}': {len(boxes)} lists of boxes, {_length(lists)} of scores and {len(keys)} ids do not fit"
        )
    return {key: _scored(b, _scores(file, s, len(b))) for key, b, s in zip(keys, boxes, lists, strict=True)}


def _named(ids: Any, dataset: DetectionSet | None) -> list[str]:
    """Keys of the pictures with these numbers."""
    names = {number: key for key, number in image_ids(dataset).items()} if dataset else {}
    return [names.get(number, str(number)) for number in np.ravel(np.asarray(ids)).tolist()]


def _length(values: Any) -> int:
    return len(values) if isinstance(values, list | tuple | np.ndarray) else -1


def _scores(file: Path, one: Any, count: int) -> np.ndarray | None:
    """Scores (K,) of ``count`` boxes."""
    if one is None:
        return None
    values = _floats(file, one).reshape(-1)
    if len(values) != count:
        raise DataError(f"proposals '{file}': {count} boxes have {len(values)} scores")
    return values


def _floats(file: Path, one: Any) -> np.ndarray:
    try:
        values = np.asarray(one, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"proposals '{file}': expected numbers: {error}") from error
    if not np.isfinite(values).all():
        raise DataError(f"proposals '{file}': some numbers are not finite")
    return values


def _listed(file: Path, boxes: Any) -> list[np.ndarray]:
    if not isinstance(boxes, list | tuple | np.ndarray):
        raise DataError(f"proposals '{file}': expected a list of boxes (K, 4), or a dict with boxes")
    return [_boxes(file, one) for one in boxes]


def _boxes(file: Path, one: Any) -> np.ndarray:
    array = _floats(file, one)
    if not array.size:
        return np.zeros((0, 4), np.float32)
    if array.ndim != 2 or array.shape[1] < 4:
        raise DataError(f"proposals '{file}': expected boxes (K, 4), got shape {array.shape}")
    return array[:, :4]


def _scored(boxes: np.ndarray, scores: np.ndarray | None = None) -> Boxes:
    """Boxes (K, 4) with their scores (K,), best first; without any, in their order."""
    if scores is None:
        return boxes, falling(len(boxes))
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order]


def _keys(file: Path, dataset: DetectionSet | None, count: int) -> list[str]:
    if dataset is None:
        raise UsageError(
            f"proposals '{file}' name no pictures\n  Fix: give the data set that they were made for"
        )
    if len(dataset) != count:
        raise DataError(
            f"proposals '{file}': {count} lists of boxes for the {len(dataset)} pictures of '{dataset.name}'"
        )
    return [picture.key for picture in dataset.pictures]


# -- MATLAB --------------------------------------------------------------------------------------------------


def _read_mat(file: Path, dataset: DetectionSet | None, order: str) -> Proposals:
    content = read_mat(file)
    if "boxes" not in content:
        raise DataError(
            f"proposals '{file}': expected a variable 'boxes', got {', '.join(content) or 'none'}"
        )
    boxes = content["boxes"]
    single = boxes.dtype != object
    lists = [_boxes(file, boxes)] if single else [_boxes(file, one) for one in boxes.ravel(order="F")]
    if single:
        keys = [file.stem.removesuffix("_boxes")]
    elif isinstance(content.get("images"), np.ndarray) and content["images"].size == len(lists):
        keys = [str(name) for name in content["images"].ravel(order="F")]
    else:
        keys = _keys(file, dataset, len(lists))
    known = {picture.key: picture for picture in dataset.pictures} if dataset else {}
    taken, why = (
        (order, "as asked for") if order else _convention(lists, [known.get(key) for key in keys], single)
    )
    _log.info("%s: boxes taken as %s (%s)", file, ORDERS[taken], why)
    if taken == "yxyx":
        lists = [one[:, (1, 0, 3, 2)] - 1 for one in lists]
    return {key: _scored(_worth_it(one)) for key, one in zip(keys, lists, strict=True)}


def _worth_it(boxes: np.ndarray) -> np.ndarray:
    """Boxes (K, 4) without doubles and those thinner than two pixels, as Fast R-CNN left them out."""
    _, firsts = np.unique(boxes, axis=0, return_index=True)
    boxes = boxes[np.sort(firsts)]
    thin = (boxes[:, 2:] - boxes[:, :2] + 1 < _THINNEST).any(axis=1)
    return np.asarray(boxes[~thin])


def _convention(lists: list[np.ndarray], pictures: list[Picture | None], single: bool) -> tuple[str, str]:
    """Which order boxes are in, and how that is known."""
    if any(len(one) and one.min() < 1 for one in lists):
        return "xyxy", "there are zeros, so they count from 0"
    sized = [
        (one.max(axis=0), p) for one, p in zip(lists, pictures, strict=True) if p is not None and len(one)
    ]
    from_0 = all(m[2] < p.width and m[3] < p.height for m, p in sized)
    from_1 = all(m[3] <= p.width and m[2] <= p.height for m, p in sized)
    if sized and from_0 != from_1:
        return ("xyxy" if from_0 else "yxyx"), "only so they lie in the pictures"
    if single:
        return "xyxy", "as single pictures of Fast R-CNN's demo have them; order='yxyx' if that is wrong"
    return "yxyx", "as the lists of Selective Search have them; order='xyxy' if that is wrong"
