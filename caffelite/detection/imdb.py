"""Data sets and settings as the tools of py-faster-rcnn name them: ``--imdb voc_2007_trainval``, ``--cfg``, ``--set``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.boxes.config import Config, cfg, defaults
from caffelite.detection.card import Card
from caffelite.detection.config import cfg_from_file, cfg_from_list
from caffelite.detection.dataset import DetectionSet, load_set
from caffelite.errors import DataError, MissingFileError, UsageError

VOC = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse",
    "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""PASCAL VOC's classes in the order of the published weights."""

_VOC_NAME = re.compile(r"voc_(\d{4})_(\w+)")
_COCO_NAME = re.compile(r"coco_(\d{4})_(\w+)")


@contextmanager
def configured(file: str = "", pairs: Sequence[str] = ()) -> Iterator[Config]:
    """``cfg`` with the settings of a file and of ``--set``; as before when the block ends."""
    before = cfg.copied()
    try:
        if file:
            cfg_from_file(file)
        cfg_from_list(pairs)
        yield cfg
    finally:
        cfg.restore(before)


def load_imdb(names: str, classes: Sequence[str] = ()) -> DetectionSet:
    """The set of ``voc_2007_trainval``, ``coco_2014_train`` or ``PATH:SPLIT``, or of several with ``+`` between.

    Folders are those of the original, ``cfg.DATA_DIR/VOCdevkit2007/VOC2007`` and ``cfg.DATA_DIR/coco``. ``classes``: in
    the order of the labels; by default VOC's twenty for its sets, for others those of the data.

    Raises:
        MissingFileError: the folder is not there.
        UsageError: no name of this form; sets with different classes.
        DataError: none of the classes is in the data, or what ``load_set`` raises.
    """
    sets = [_load(name.strip(), classes) for name in names.split("+")]
    first = sets[0]
    for other in sets[1:]:
        if other.classes != first.classes:
            raise UsageError(f"--imdb {names}: the sets have different classes\n  Fix: --classes")
    pictures = [picture for one in sets for picture in one.pictures]
    if len({picture.key for picture in pictures}) < len(pictures):
        raise UsageError(f"--imdb {names}: some pictures are in several of the sets")
    return replace(first, name=names, pictures=pictures)


def _load(name: str, classes: Sequence[str]) -> DetectionSet:
    path, split, usual = place_of(name)
    if not path.exists():
        fix = "put the data there, name another folder (--set DATA_DIR DIR), or give --imdb PATH:SPLIT"
        raise MissingFileError(path, f"data of imdb '{name}'", fix)
    dataset = load_set(path, split, classes=classes or usual)
    if not any(len(picture.boxes) for picture in dataset.pictures):
        there = load_set(path, split).classes
        raise DataError(
            f"imdb '{name}': expected classes {', '.join(classes or usual)}; the data has {', '.join(there) or 'none'}\n"
            f"  Fix: --classes {','.join(there)}"
        )
    return dataset


def place_of(name: str) -> tuple[Path, str, tuple[str, ...]]:
    """Path, split and usual classes of one imdb."""
    data = Path(cfg.DATA_DIR)
    if match := _VOC_NAME.fullmatch(name):
        year, split = match.groups()
        own = data / f"VOCdevkit{year}" / f"VOC{year}"
        shared = data / "VOCdevkit" / f"VOC{year}"
        return (shared if shared.exists() and not own.exists() else own), split, VOC
    if match := _COCO_NAME.fullmatch(name):
        year, split = match.groups()
        return data / "coco" / "annotations" / f"instances_{split}{year}.json", "", ()
    path, _, split = (
        (name, "", "") if Path(name).exists() else name.rpartition(":")
    )  # C:\\data has a colon, too
    if path and Path(path).exists():
        return Path(path), split, ()
    raise UsageError(f"--imdb: expected voc_2007_trainval, coco_2014_train or PATH:SPLIT, got '{name}'")


def proposals_of(names: str) -> Path | None:
    """The file of Selective Search's boxes of an imdb, as the original names it; None if there is none."""
    file = Path(cfg.DATA_DIR) / "selective_search_data" / f"{names}.mat"
    return file if file.exists() else None


def card_of_cfg(method: str, classes: Sequence[str]) -> Card:
    """A card that holds all that ``cfg`` has other than the defaults."""
    usual = defaults()
    config = {
        name: _plain(value) for name in cfg.names() if not _same(value := _at(cfg, name), _at(usual, name))
    }
    for group in ("TRAIN", "TEST"):  # a card sets these for both
        config |= {f"{group}.{name}": _plain(cfg[group][name]) for name in ("SCALES", "MAX_SIZE")}
    if cfg.TRAIN.HAS_RPN:  # the settings are meant for an RPN, to which a card otherwise gives one image
        config["TRAIN.IMS_PER_BATCH"] = cfg.TRAIN.IMS_PER_BATCH
    test = cfg.TEST
    means = tuple(cfg.PIXEL_MEANS.reshape(3).tolist())
    return Card(method, "", tuple(classes), means, test.SCALES, test.MAX_SIZE, test.NMS, config=config)


def output_folder(names: str) -> Path:
    """Where the original writes what belongs to an imdb."""
    safe = re.sub(r"[^\w.+-]+", "_", names)
    return Path(str(cfg.ROOT_DIR)) / "output" / str(cfg.EXP_DIR) / safe


def _at(config: Config, name: str) -> Any:
    found: Any = config
    for part in name.split("."):
        found = found[part]
    return found


def _same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.reshape(-1).tolist()
    return list(value) if isinstance(value, tuple) else value
