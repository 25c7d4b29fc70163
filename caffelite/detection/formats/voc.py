"""PASCAL VOC: an XML file for each image, and lists of images for the splits.

The layout is ``Annotations/*.xml``, ``JPEGImages/*.jpg``, ``ImageSets/Main/SPLIT.txt``. Others are read as well: folders
called otherwise (annotations, images ...), everything in one folder, splits by folders. Coordinates count from 1.
Source: Everingham et al., "The PASCAL Visual Object Classes Challenge 2007 (VOC2007) development kit".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from caffelite.detection.findings import Findings
from caffelite.detection.formats.layout import (
    Images,
    files_below,
    no_such_split,
    same_split,
    standard_splits,
    subfolder,
)
from caffelite.detection.formats.records import Box, Format, Record, Records, Thing
from caffelite.detection.formats.text import number, read_lines, size_of
from caffelite.detection.formats.xml import Node, read_xml
from caffelite.detection.pictures import SUFFIXES
from caffelite.errors import DataError

ORIGIN = 1  # coordinates count from it
_ANNOTATIONS = ("annotations", "annotation", "xmls", "xml", "labels")
_IMAGES = ("jpegimages", "images", "imgs", "img", "pictures")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_TRUE = ("1", "true", "yes")
_LOOKED_AT = 5  # XML files that may be something else before a folder is taken for none of VOC's


@dataclass(frozen=True)
class _Layout:
    """Where things are in a folder."""

    root: Path

    @cached_property
    def annotations(self) -> Path:
        folder = subfolder(self.root, _ANNOTATIONS)
        return folder if folder and files_below(folder, (".xml",)) else self.root

    @cached_property
    def files(self) -> dict[str, Path]:
        """Annotation files by key: the path below the folder, without its ending."""
        below = self.annotations
        return {
            path.relative_to(below).with_suffix("").as_posix(): path for path in files_below(below, (".xml",))
        }

    @cached_property
    def images(self) -> Images:
        return Images(subfolder(self.root, _IMAGES) or self.root)

    @cached_property
    def lists(self) -> dict[str, Path]:
        """The lists of images by split, without those that VOC has for single classes."""
        sets = subfolder(self.root, ("imagesets",))
        main = (subfolder(sets, ("main",)) or sets) if sets else self.root
        return {path.stem: path for path in sorted(main.glob("*.txt")) if _is_list(path)}

    @cached_property
    def folders(self) -> set[str]:
        """Names of folders that annotation files are in."""
        return {part for key in self.files for part in key.split("/")[:-1]}

    def image(self, key: str, near: Path) -> Path | None:
        return self.images.find(key, near)

    def keys(self, split: str) -> list[tuple[str, str]]:
        """The keys of a split and where each is listed. Raises DataError if there is no such split."""
        if not split:
            return [(key, str(path)) for key, path in self.files.items()]
        chosen = next(
            (path for name, path in self.lists.items() if name.casefold() == split.casefold()), None
        )
        chosen = chosen or next((path for name, path in self.lists.items() if same_split(name, split)), None)
        if chosen:
            return list(_listed(chosen))
        if any(same_split(folder, split) for folder in self.folders):
            return [
                (key, str(path))
                for key, path in self.files.items()
                if any(same_split(part, split) for part in key.split("/")[:-1])
            ]
        raise no_such_split(self.root, split, splits(self.root))


def fits(path: Path) -> bool:
    """Whether a folder has VOC's annotations."""
    if not path.is_dir():
        return False
    files = files_below(path, (".xml",))
    return any(b"<annotation" in _start(file) for file in files[:_LOOKED_AT])


def splits(path: Path) -> list[str]:
    """The splits of a folder: those that have lists, or else folders."""
    layout = _Layout(path)
    return list(layout.lists) or standard_splits(layout.folders)


def read(path: Path, split: str, findings: Findings) -> Records:
    """The images of a split, or all that have an annotation file. Raises DataError for an unknown split."""
    layout = _Layout(path)
    by_stem = {Path(key).name.casefold(): key for key in layout.files}
    read_files: dict[str, Record] = {}
    for key, file in layout.files.items():
        if (record := _read_file(layout, key, file, findings)) is not None:
            read_files[key] = record
    chosen = []
    for name, place in layout.keys(split):
        key = name if name in layout.files else by_stem.get(Path(name).name.casefold(), "")
        if key in read_files:
            chosen.append(read_files[key])
        elif not key:
            chosen.append(_without_annotation(layout, name, place, findings))
    if not split:
        _tell_left_out(layout, read_files, findings)
    names = [thing.name for record in read_files.values() for thing in record.things]
    return Records(FORMAT.name, chosen, names=names, origin=ORIGIN)


FORMAT = Format("PASCAL VOC", fits, splits, read)


def _without_annotation(layout: _Layout, name: str, place: str, findings: Findings) -> Record:
    """The record of an image that is listed, but has no annotation file."""
    image = layout.image(name, layout.annotations)
    if image:
        text = f"picture '{name}' has no annotation file; read as one without objects"
        findings.warn("no annotation", place, text, "write one, empty if there is nothing in the picture")
    return Record(name, image, place, image=name)


def _tell_left_out(layout: _Layout, records: dict[str, Record], findings: Findings) -> None:
    used = {record.path for record in records.values()}
    told = {Path(key).name for key in layout.files if key not in records}  # broken ones
    for path in layout.images.all:
        if path not in used and path.stem not in told:
            text = "picture has no annotation file; left out"
            findings.warn(
                "no annotation", str(path), text, "write one, empty if there is nothing in the picture"
            )


# -- lists ---------------------------------------------------------------------------------------------------


def _is_list(path: Path) -> bool:
    """Whether a text file lists images, one a line; lists of single classes have a second column, notes have more."""
    words = [line.split() for _, line in read_lines(path)]
    return bool(words) and all(len(line) == 1 for line in words[:20])


def _listed(path: Path) -> Iterator[tuple[str, str]]:
    for at, line in read_lines(path):
        name = line.replace("\\", "/")
        stem = name.rsplit(".", 1)[0] if name.lower().endswith((*SUFFIXES, ".xml")) else name
        yield stem, f"{path}:{at}"


# -- annotations ---------------------------------------------------------------------------------------------


def _start(file: Path) -> bytes:
    with open(file, "rb") as stream:
        return stream.read(2000).replace(b"\0", b"")  # of UTF-16


def _read_file(layout: _Layout, key: str, file: Path, findings: Findings) -> Record | None:
    try:
        node = read_xml(file)
    except DataError as error:
        findings.refuse_error("broken annotation", error)
        return None
    if node.tag != "annotation":
        text = f"expected <annotation>, got <{node.tag}>"
        findings.refuse("broken annotation", f"{file}:{node.line}", text, "move other files elsewhere")
        return None
    named = node.value("filename")
    image = layout.image(key, file) or (layout.image(named, file) if named else None)
    things = [thing for item in node.all("object") if (thing := _thing(item, file, findings)) is not None]
    return Record(key, image, str(file), things, _size(node), named or key)


def _size(node: Node) -> tuple[int, int]:
    size = node.find("size") or Node("size", 0)
    return size_of(size.value("width"), size.value("height"))


def _thing(node: Node, file: Path, findings: Findings) -> Thing | None:
    name, place = node.value("name"), f"{file}:{node.line}"
    if not name:
        findings.refuse("no name", place, "an object without a name", "write <name>CLASS</name>")
        return None
    frame = node.find("bndbox")
    if frame is None:
        text = f"a '{name}' without a box; left out"
        findings.warn("no box", place, text, "draw one, or take the object out")
        return None
    box = _box(frame, f"{file}:{frame.line}", findings)
    difficult = node.value("difficult").casefold() in _TRUE
    return box and Thing(name, box, f"{file}:{frame.line}", difficult)


def _box(frame: Node, place: str, findings: Findings) -> Box | None:
    values = []
    for corner in _CORNERS:
        text = frame.value(corner)
        value = number(text)
        if value is None:
            got = f"'{text}'" if text else "nothing"
            findings.refuse(
                "number", place, f"expected a number for {corner}, got {got}", "write the box anew"
            )
            return None
        values.append(value - ORIGIN)
    x1, y1, x2, y2 = values
    return x1, y1, x2, y2
