"""Which format a data set has, told by what is in it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from caffelite.detection.dataset import DetectionSet
from caffelite.detection.findings import Findings
from caffelite.detection.formats.assemble import assemble, names_of
from caffelite.detection.formats.records import Format, Records
from caffelite.errors import DataError, MissingFileError

_MODULES = ("voc", "yolo", "coco", "window", "csv")  # csv last: it takes any table
_KNOWN = "a VOC folder, COCO JSON, YOLO text files, CSV or an R-CNN window file"


@dataclass(frozen=True)
class Reading:
    """A set, and how it was read. ``names``: how often each class is named, in the files' own spelling."""

    dataset: DetectionSet
    findings: Findings
    format: str
    names: dict[str, int]


def format_of(path: str | os.PathLike[str]) -> tuple[Format, Path]:
    """The format of a set, and where it is: a VOCdevkit leads to the one year in it.

    Raises:
        MissingFileError: there is no such path.
        DataError: no format fits.
    """
    place = Path(path)
    if not place.exists():
        raise MissingFileError(place, "data set", f"paths count from '{Path.cwd()}'")
    place = _year(place)
    for name in _MODULES:
        form: Format = importlib.import_module(f"caffelite.detection.formats.{name}").FORMAT
        if form.fits(place):
            return form, place
    raise DataError(f"'{path}' has no annotations that are known\n  Fix: give {_KNOWN}")


def splits_of(path: str | os.PathLike[str]) -> list[str]:
    """The splits of a set; none if it has no splits. Raises what :func:`format_of` does."""
    form, place = format_of(path)
    return form.splits(place)


def read_set(path: str | os.PathLike[str], split: str = "", classes: Sequence[str] = ()) -> Reading:
    """A set as :func:`caffelite.detection.dataset.load_set` gives it, with the findings, not told yet."""
    form, place = format_of(path)
    findings = Findings()
    records = _union([form.read(place, part, findings) for part in _parts(split, form.splits(place))])
    name = f"{place.name}_{split}" if split else place.stem
    dataset = assemble(name, records, classes, findings)
    return Reading(dataset, findings, form.name, dict(names_of(records)))


def _parts(split: str, there_are: Sequence[str]) -> list[str]:
    """The splits that a split stands for: trainval is train and val where it has no list of its own."""
    named = {name.casefold() for name in there_are}
    parts = [part.strip() for part in split.split("+")]
    if parts == ["trainval"] and "trainval" not in named:
        return [name for name in ("train", "val") if name in named] or parts
    return parts


def _union(parts: list[Records]) -> Records:
    """The records of several splits, each image once."""
    first = parts[0]
    if len(parts) == 1:
        return first
    records = {record.key: record for part in reversed(parts) for record in reversed(part.records)}
    names = max((part.names for part in parts), key=len)
    return replace(first, records=list(reversed(records.values())), names=names)


def _year(place: Path) -> Path:
    years = sorted(place.glob("VOC[0-9]*")) if place.is_dir() else []
    if len(years) > 1:
        raise DataError(f"'{place}' holds several sets\n  Fix: give one, such as '{years[0]}'")
    return years[0] if years else place
