"""YOLO's text files: one for each image, a line ``class x y w h`` for each object.

Classes count from 0; x, y are the centre, and all are shares of the picture's width and height. Polygons, ``class x y x y
x y ...``, are read as the boxes around them. Names are in ``data.yaml``, ``classes.txt`` or ``obj.names``; text files are
beside the images, or in a folder ``labels`` where the images are in ``images``. An image without one has no objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from caffelite.detection.findings import Findings
from caffelite.detection.formats.data_yaml import read_yaml
from caffelite.detection.formats.layout import (
    Images,
    files_below,
    no_such_split,
    same_split,
    standard_splits,
    subfolder,
)
from caffelite.detection.formats.records import Box, Format, Record, Records, Thing
from caffelite.detection.formats.text import read_lines
from caffelite.errors import DataError

_NAMES = ("classes.txt", "obj.names", "labels.txt", "names.txt", "_darknet.labels")
_YAML = (".yaml", ".yml")
_SPLITS = ("train", "val", "test")
_MOST = 1.01  # shares above it are pixels; rounding makes a little more than 1
_LOOKED_AT = 5


@dataclass(frozen=True)
class _Layout:
    """Where things are. ``path``: a folder, or a data.yaml in it."""

    path: Path

    @cached_property
    def root(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    @cached_property
    def yaml(self) -> dict[str, Any]:
        if self.path.is_file():
            return read_yaml(self.path)
        found = [path for path in files_below(self.root, _YAML, 0) if _is_data(path)]
        return read_yaml(found[0]) if found else {}

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; none if no file tells them."""
        names = self.yaml.get("names")
        if isinstance(names, dict) and all(key.isdigit() for key in names):
            return tuple(str(names[key]) for key in sorted(names, key=int))
        if isinstance(names, list):
            return tuple(map(str, names))
        labels = subfolder(self.root, ("labels",))
        places = [self.root, *([labels] if labels else [])]
        files = (place / name for place in places for name in _NAMES)
        file = next((file for file in files if file.is_file()), None)
        return tuple(line for _, line in read_lines(file)) if file else ()

    @cached_property
    def images(self) -> Images:
        return Images(self.root)

    @cached_property
    def folders(self) -> set[str]:
        return {part for path in self.images.all for part in path.relative_to(self.root).parts[:-1]}

    def pictures(self, split: str) -> list[Path]:
        """The images of a split. Raises DataError for an unknown one."""
        if not split:
            return self.images.all
        listed = self._listed(split)
        if listed is not None:
            return listed
        if any(same_split(folder, split) for folder in self.folders):
            return [path for path in self.images.all if self._is_in(path, split)]
        raise no_such_split(self.path, split, splits(self.path))

    def _is_in(self, path: Path, split: str) -> bool:
        return any(same_split(part, split) for part in path.relative_to(self.root).parts[:-1])

    def _listed(self, split: str) -> list[Path] | None:
        """The images of a split that data.yaml, or a text file that lists images, names."""
        key = next((key for key in self.yaml if key in _SPLITS and same_split(key, split)), "")
        named = self.yaml.get(key, "")
        places = [named] if isinstance(named, str) else list(named)
        files = [file for place in places if place and (file := self._place(place))]
        if not files:
            files = [self.root / f"{split}.txt"] if (self.root / f"{split}.txt").is_file() else []
        return [image for file in files for image in self._images(file)] if files else None

    def _images(self, place: Path) -> list[Path]:
        if place.is_dir():
            return Images(place).all
        found = (self.images.find(line, place) for _, line in read_lines(place))
        return [path for path in found if path]

    def _place(self, name: str) -> Path | None:
        """What a path in data.yaml means: exporters write some that are a folder too high."""
        base = self.root / str(self.yaml.get("path", "") or "")
        plain = name.replace("\\", "/")
        inner = Path(*[part for part in Path(plain).parts if part not in ("..", ".", "/")])
        for place in (base / plain, self.root / plain, self.root / inner):
            if place.exists():
                return place
        return None


def fits(path: Path) -> bool:
    """Whether a path is a data.yaml, or a folder with one or with text files of numbers beside images."""
    if path.is_file():
        return path.suffix.lower() in _YAML and _is_data(path)
    if any(_is_data(file) for file in files_below(path, _YAML, 0)):
        return True
    if any((path / name).is_file() for name in _NAMES) and Images(path).all:
        return True
    files = [file for file in files_below(path, (".txt",)) if file.name not in _NAMES]
    return any(_is_label(file) for file in files[:_LOOKED_AT])


def splits(path: Path) -> list[str]:
    """The splits that data.yaml names, or that folders or lists of images are called by."""
    layout = _Layout(path)
    named = [name for name in _SPLITS if layout.yaml.get(name)]
    lists = [file.stem for file in layout.root.glob("*.txt") if not _is_label(file)]
    return named or standard_splits({*layout.folders, *lists})


def read(path: Path, split: str, findings: Findings) -> Records:
    """The images of a split, or all. Raises DataError for an unknown split."""
    layout = _Layout(path)
    classes = layout.classes
    records = [_read_file(layout, image, classes, findings) for image in layout.pictures(split)]
    _tell_left_out(layout, records, split, findings)
    if not classes:
        numbers = [thing.name for record in records for thing in record.things]
        text = "no names of classes; they are called by their numbers, from 1"
        findings.warn("no names", str(path), text, "write classes.txt, a name a line")
        return Records(FORMAT.name, records, names=numbers, numbered=True, shares=True)
    return Records(FORMAT.name, records, classes, shares=True)


FORMAT = Format("YOLO", fits, splits, read)


def _is_data(path: Path) -> bool:
    return any(line.startswith("names") for _, line in read_lines(path))


def _is_label(path: Path) -> bool:
    """Whether a text file begins with a line of an object."""
    try:
        first = next(read_lines(path), (0, ""))[1]
        return len([float(word) for word in first.split()]) >= 5
    except (ValueError, DataError):
        return False


def _label_file(image: Path, root: Path) -> Path:
    """Where an image's text file is: beside it, or in ``labels`` instead of ``images``."""
    parts = list(image.relative_to(root).with_suffix(".txt").parts)
    for at in reversed(range(len(parts) - 1)):
        if parts[at].casefold() in ("images", "jpegimages"):
            parts[at] = "labels"
            break
    other = root.joinpath(*parts)
    return other if other.is_file() else image.with_suffix(".txt")


def _read_file(layout: _Layout, image: Path, classes: Sequence[str], findings: Findings) -> Record:
    below = image.is_relative_to(layout.root)
    key = (image.relative_to(layout.root) if below else image).with_suffix("").as_posix()
    file = _label_file(image, layout.root if below else Path(image.anchor))
    record = Record(key.removeprefix("images/"), image, str(file))
    try:
        lines = list(read_lines(file)) if file.is_file() else []
    except DataError as error:
        findings.refuse_error("broken annotation", error)
        return record
    for number, line in lines:
        if (thing := _thing(line, f"{file}:{number}", classes, findings)) is not None:
            record.things.append(thing)
    return record


def _thing(line: str, place: str, classes: Sequence[str], findings: Findings) -> Thing | None:
    words = line.split()
    try:
        number, *values = (float(word) for word in words)
    except ValueError:
        number, values = -1.0, []
    if number < 0 or number % 1 or not (len(values) == 4 or (len(values) >= 6 and len(values) % 2 == 0)):
        got = f"'{line:.60}'"
        findings.refuse("number", place, f"expected 'class x y w h', got {got}", "write the line anew")
        return None
    if max(values) > _MOST:
        text = f"expected shares of the picture from 0 to 1, got {max(values):g}"
        findings.refuse("pixels", place, text, "divide x and w by the width, y and h by the height")
        return None
    if classes and number >= len(classes):
        text = f"class {number:g} is none of the {len(classes)} classes, which count from 0; the object is left out"
        findings.warn("unknown class", place, text, "mend the number, or name the class")
        return None
    name = classes[int(number)] if classes else str(int(number) + 1)
    return Thing(name, _box(values), place)


def _box(values: list[float]) -> Box:
    """The corners, as shares: of a centre and sides, or of a polygon."""
    if len(values) == 4:
        x, y, w, h = values
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])


def _tell_left_out(layout: _Layout, records: list[Record], split: str, findings: Findings) -> None:
    """Notes text files that no image goes with; of a split those in the folders that its own text files are in."""
    used = {record.source for record in records}
    folders = {Path(source).parent for source in used}
    if split:
        used |= {str(_label_file(image, layout.root)) for image in layout.images.all}
    for file in files_below(layout.root, (".txt",)):
        if split and file.parent not in folders:
            continue
        if str(file) not in used and file.name not in _NAMES and _is_label(file):
            text = "there is no picture to this file; left out"
            findings.warn("no picture", str(file), text, "bring the picture, or remove the file")
