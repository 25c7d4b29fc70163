"""COCO's JSON files: images, annotations and categories of a set in one file.

A box is x, y, width, height, counted from 0. Labels go by the order of the categories' ids, which may have gaps. A crowd is
difficult. Source: Lin et al., "Microsoft COCO: Common Objects in Context" (2014), and its data format.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

from caffelite.detection.findings import Findings
from caffelite.detection.formats.layout import Images, files_below, no_such_split, same_split, standard_splits
from caffelite.detection.formats.records import Box, Format, Record, Records, Thing
from caffelite.detection.formats.text import read_text, size_of
from caffelite.errors import DataError

_DEPTH = 2  # folders in which files are looked for
_START = 4096  # characters that tell a COCO file
_KEYS = ("images", "annotations", "categories")
_KEY = re.compile(r'"(images|annotations|categories|info|licenses)"\s*:')


def fits(path: Path) -> bool:
    """Whether a path is a COCO file, or a folder with some."""
    return bool(_files(path))


def splits(path: Path) -> list[str]:
    """The splits that files, or the folders they are in, are called by."""
    if path.is_file():
        return []
    return standard_splits(name for file in _files(path) for name in _names(file, path))


def read(path: Path, split: str, findings: Findings) -> Records:
    """The images of a file, or of the file of a split in a folder. Raises DataError for an unknown split."""
    file = _choose(path, split)
    return _Reader(file, Images(*_image_folders(path, file)), findings).read()


FORMAT = Format("COCO", fits, splits, read)


# -- files ---------------------------------------------------------------------------------------------------


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if _is_coco(path) else []
    return [file for file in files_below(path, (".json",), _DEPTH) if _is_coco(file)]


def _is_coco(path: Path) -> bool:
    with open(path, "rb") as file:
        start = file.read(_START).decode("utf-8", "replace").lstrip("\ufeff \r\n\t")
    return start.startswith("{") and bool(_KEY.search(start))


def _names(file: Path, root: Path) -> tuple[str, ...]:
    return (file.stem, *file.relative_to(root).parts[:-1])


def _choose(path: Path, split: str) -> Path:
    """The file of a split. Raises DataError if there is none, or no split is given and there are several files."""
    if path.is_file():
        if split and not same_split(path.stem, split):
            raise no_such_split(path, split, [])
        return path
    files = _files(path)
    if split:
        files = [file for file in files if any(same_split(name, split) for name in _names(file, path))]
        if not files:
            raise no_such_split(path, split, splits(path))
    if len(files) > 1:
        best = [file for file in files if "instances" in file.name]
        if len(best) == 1:
            return best[0]
        listed = ", ".join(str(file.relative_to(path)) for file in files)
        fix = f"give a file or a split ({', '.join(splits(path)) or 'none'})"
        raise DataError(f"'{path}' holds several COCO files: {listed}\n  Fix: {fix}")
    return files[0]


def _image_folders(path: Path, file: Path) -> list[Path]:
    """Where images may be: beside the file, or anywhere in the set's folder."""
    root = path if path.is_dir() else file.parent
    if root.name.casefold() == "annotations":
        root = root.parent
    named = [folder for folder in sorted(root.iterdir()) if folder.is_dir()]
    token = file.stem.rsplit("_", 1)[-1]
    return [*(folder for folder in named if folder.name == token), file.parent, root]


# -- content -------------------------------------------------------------------------------------------------


@dataclass
class _Reader:
    file: Path
    images: Images
    findings: Findings
    _names: dict[int, str] = field(default_factory=dict)

    def read(self) -> Records:
        content = self._content()
        categories = sorted(content["categories"], key=lambda category: category["id"])
        self._names = {category["id"]: str(category["name"]) for category in categories}
        things = defaultdict(list)
        for number, annotation in enumerate(content["annotations"]):
            place = f"{self.file}: annotation {annotation.get('id', f'[{number}]')}"
            if (thing := self._thing(annotation, place)) is not None:
                things[str(annotation.get("image_id"))].append(thing)
        records = [self._record(image, things.pop(str(image.get("id")), [])) for image in content["images"]]
        for thing in (thing for found in things.values() for thing in found):
            text = "the annotation is of an image that is not in the file; left out"
            self.findings.warn("no picture", thing.place, text, "remove it")
        return Records(FORMAT.name, records, tuple(self._names.values()), category_ids=tuple(self._names))

    def _content(self) -> dict[str, Any]:
        try:
            content = json.loads(read_text(self.file))
        except json.JSONDecodeError as error:
            raise DataError(
                f"{self.file}:{error.lineno}: no valid JSON: {error.msg}\n  Fix: download or export the file anew"
            ) from error
        missing = [key for key in _KEYS if not _is_list_of_dicts(content.get(key))]
        if missing:
            fix = "a set for training and testing has images, annotations and categories"
            raise DataError(
                f"{self.file}: expected lists 'images', 'annotations' and 'categories', got none for {missing[0]}\n  Fix: {fix}"
            )
        broken = [
            item
            for item in content["categories"]
            if not isinstance(item.get("id"), int) or "name" not in item
        ]
        if broken:
            raise DataError(
                f"{self.file}: expected a whole number for id and a name of each category, got {broken[0]}"
            )
        return dict(content)

    def _record(self, image: dict[str, Any], things: list[Thing]) -> Record:
        name, number = str(image.get("file_name", "")), image.get("id", -1)
        place = f"{self.file}: image {number}"
        key = name.replace("\\", "/").rsplit(".", 1)[0] or str(number)
        size = size_of(image.get("width"), image.get("height"))
        number = number if isinstance(number, int) else -1
        return Record(key, self.images.find(name, self.file), place, things, size, name, number)

    def _thing(self, annotation: dict[str, Any], place: str) -> Thing | None:
        box = self._box(annotation, place)
        category = annotation.get("category_id")
        if not isinstance(category, int) or category not in self._names:
            text = f"category {category} is none of the file's; the object is left out"
            self.findings.warn("unknown class", place, text, "mend the number, or add the category")
            return None
        area = annotation.get("area")
        return box and Thing(
            self._names[category],
            box,
            place,
            bool(annotation.get("difficult") or annotation.get("ignore")),
            bool(annotation.get("iscrowd")),
            float(area) if isinstance(area, int | float) else nan,
        )

    def _box(self, annotation: dict[str, Any], place: str) -> Box | None:
        values = annotation.get("bbox")
        if not values:
            text = "an annotation without a box; left out"
            self.findings.warn("no box", place, text, "draw one, or remove the annotation")
            return None
        try:
            x, y, w, h = map(float, values)
        except (TypeError, ValueError):
            text = f"expected bbox [x, y, width, height], got {values}"
            self.findings.refuse("number", place, text, "write the box anew")
            return None
        return x, y, x + w - 1, y + h - 1


def _is_list_of_dicts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
