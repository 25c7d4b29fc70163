"""What a format's reader gives: the files' own words, before anything is checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import NamedTuple

from caffelite.detection.findings import Findings

Box = tuple[float, float, float, float]


class Thing(NamedTuple):
    """One object: its class by name, and its box, 0-based inclusive, of the image as it is stored."""

    name: str
    box: Box
    place: str  # file:line, or what comes nearest
    difficult: bool = False
    crowd: bool = False
    area: float = nan


@dataclass
class Record:
    """One image as a file tells of it."""

    key: str
    path: Path | None  # None: there is no such file
    source: str
    things: list[Thing] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)  # width and height as the file says; 0: it does not
    image: str = ""  # the image's name in the file
    image_id: int = -1


@dataclass
class Records:
    """All images of a set, or of one split of it."""

    format: str
    records: list[Record]
    classes: tuple[str, ...] = ()  # if the files list them
    names: Sequence[
        str
    ] = ()  # of all objects in all splits, in the order of the files; if they list no classes
    category_ids: tuple[int, ...] = ()
    numbered: bool = False  # names of objects are their labels, from 1
    origin: int = 0  # what coordinates count from in the files: for messages
    shares: bool = False  # boxes are shares of width and height, x2 and y2 outside


class Format(NamedTuple):
    """A format: its name, whether a path has it, its splits, and its reader, which notes what is wrong."""

    name: str
    fits: Callable[[Path], bool]
    splits: Callable[[Path], list[str]]
    read: Callable[[Path, str, Findings], Records]
