"""Tables with a row for each box: ``filename,xmin,ymin,xmax,ymax,label`` in any order that the header tells.

Coordinates count from 0, as in pycaffe's detector, the last pixel included. Without a header the order is that. A row
whose coordinates are empty is an image without objects. With x, y, width and height, the last two are the box's.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from caffelite.detection.findings import Findings
from caffelite.detection.formats.layout import Images, files_below, no_such_split, same_split, standard_splits
from caffelite.detection.formats.records import Box, Format, Record, Records, Thing
from caffelite.detection.formats.text import number, read_text, size_of
from caffelite.errors import DataError

_ROLES = {
    "image": ("filename", "file", "filepath", "image", "imagename", "imagepath", "imageid", "img", "path"),
    "x1": ("xmin", "x1", "left", "x", "minx"),
    "y1": ("ymin", "y1", "top", "y", "miny"),
    "x2": ("xmax", "x2", "right", "maxx"),
    "y2": ("ymax", "y2", "bottom", "maxy"),
    "w": ("w", "boxwidth", "bboxwidth"),
    "h": ("h", "boxheight", "bboxheight"),
    "width": ("width", "imagewidth", "imgwidth"),
    "height": ("height", "imageheight", "imgheight"),
    "label": ("label", "class", "classname", "name", "category", "labelname", "object"),
    "difficult": ("difficult",),
    "crowd": ("iscrowd", "crowd", "isgroupof"),
    "split": ("split", "set", "subset"),
}
_ROLE = {name: role for role, names in _ROLES.items() for name in names}
_PLAIN = ("image", "x1", "y1", "x2", "y2", "label")  # the order without a header
_ENDINGS = (".csv", ".tsv")
_TRUE = ("1", "true", "yes")
_CLASS = "object"  # of tables without classes
_DEPTH = 2
Row = dict[str, str]


@dataclass
class _Table:
    """The rows of a file by the roles of their columns, with their lines."""

    file: Path
    rows: list[tuple[int, Row]]
    corners: bool  # x2 and y2, not w and h
    records: dict[str, Record] = field(default_factory=dict)


def fits(path: Path) -> bool:
    """Whether a path is a table, or a folder with some."""
    return bool(_files(path))


def splits(path: Path) -> list[str]:
    """The splits that a column names, or that files in a folder are called by."""
    tables = [_read_table(file) for file in _files(path)]
    column = dict.fromkeys(row["split"] for table in tables for _, row in table.rows if row.get("split"))
    return list(column) or (standard_splits(table.file.stem for table in tables) if path.is_dir() else [])


def read(path: Path, split: str, findings: Findings) -> Records:
    """The images of a split, or all. Raises DataError for an unknown split or a table that cannot be read."""
    tables = [_read_table(file) for file in _files(path)]
    chosen = list(_of_split(tables, split, path.is_dir()))
    if split and not any(table.rows for table in chosen):
        raise no_such_split(path, split, splits(path))
    images = Images(path if path.is_dir() else path.parent)
    shares = _are_shares(tables)
    records: dict[str, Record] = {}
    for table in chosen:
        for line, row in table.rows:
            _add(records, table, line, row, (images, shares, findings))
    names = [row.get("label", _CLASS) for table in tables for _, row in table.rows if _has_box(row)]
    return Records(FORMAT.name, list(records.values()), names=names, shares=shares)


FORMAT = Format("CSV", fits, splits, read)


# -- tables --------------------------------------------------------------------------------------------------


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() not in (".xml", ".json") else []
    return files_below(path, _ENDINGS, _DEPTH)


def _read_table(file: Path) -> _Table:
    text = read_text(file)
    start = text.lstrip().split("\n", 1)[0]
    separator = max(",;\t", key=start.count)
    reader = csv.reader(StringIO(text), delimiter=separator, skipinitialspace=True)
    lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    if not lines:
        raise DataError(f"{file}: the table is empty")
    roles = _header(lines[0][1])
    body = lines[1:] if roles else lines
    roles = roles or _plain_roles(file, lines[0][1])
    rows = [(line, _row(file, line, cells, roles)) for line, cells in body]
    return _Table(file, rows, "x2" in roles)


def _header(cells: list[str]) -> list[str]:
    """The role of each column; empty if the first row is no header with a box in it."""
    roles = [
        _ROLE.get("".join(letter for letter in cell.casefold() if letter.isalnum()), "") for cell in cells
    ]
    if "x2" not in roles and {"width", "height"} <= set(roles):
        roles = [{"width": "w", "height": "h"}.get(role, role) for role in roles]
    box = {"image", "x1", "y1", "x2", "y2"} <= set(roles) or {"image", "x1", "y1", "w", "h"} <= set(roles)
    return roles if box else []


def _plain_roles(file: Path, cells: list[str]) -> list[str]:
    numbers = cells[1:5]
    if len(numbers) == 4 and (
        all(number(cell) is not None for cell in numbers) or not any(cell.strip() for cell in numbers)
    ):
        return list(_PLAIN)
    fix = f"write a first line '{','.join(('filename', 'xmin', 'ymin', 'xmax', 'ymax', 'label'))}'"
    raise DataError(
        f"{file}:1: expected columns of a file name and a box, got '{','.join(cells):.80}'\n  Fix: {fix}"
    )


def _row(file: Path, line: int, cells: list[str], roles: list[str]) -> Row:
    if len(cells) < min(len(roles), 5):
        raise DataError(
            f"{file}:{line}: expected {len(roles)} columns, got {len(cells)}\n  Fix: mend the line"
        )
    return {role: cell.strip() for role, cell in zip(roles, cells, strict=False) if role}


def _of_split(tables: list[_Table], split: str, folder: bool) -> Iterator[_Table]:
    for table in tables:
        if not split or (folder and same_split(table.file.stem, split)):
            yield table
        else:
            rows = [(line, row) for line, row in table.rows if same_split(row.get("split", ""), split)]
            yield _Table(table.file, rows, table.corners)


# -- rows ----------------------------------------------------------------------------------------------------


def _add(
    records: dict[str, Record], table: _Table, line: int, row: Row, how: tuple[Images, bool, Findings]
) -> None:
    """Adds a row to the record of its image, which may be new."""
    images, shares, findings = how
    name, place = row["image"], f"{table.file}:{line}"
    if not name:
        findings.refuse("no name", place, "expected the name of an image, got nothing", "write it")
        return
    if name not in records:
        key = name.replace("\\", "/")
        key = key.rsplit(".", 1)[0] if "." in key.rsplit("/", 1)[-1] else key
        image = images.find(name, table.file)
        records[name] = Record(
            key, image, place, size=size_of(row.get("width"), row.get("height")), image=name
        )
    if _has_box(row) and (box := _box(row, table.corners, shares)) is not None:
        flags = (row.get(name, "").casefold() in _TRUE for name in ("difficult", "crowd"))
        records[name].things.append(Thing(row.get("label", _CLASS) or _CLASS, box, place, *flags))
    elif _has_box(row):
        got = ", ".join(row.get(role, "") for role in _box_roles(table.corners))
        findings.refuse("number", place, f"expected four numbers for a box, got {got}", "write the box anew")


def _box_roles(corners: bool) -> tuple[str, ...]:
    return ("x1", "y1", "x2", "y2") if corners else ("x1", "y1", "w", "h")


def _has_box(row: Row) -> bool:
    return any(row.get(role) for role in ("x1", "y1", "x2", "y2"))


def _box(row: Row, corners: bool, shares: bool) -> Box | None:
    values = [value for role in _box_roles(corners) if (value := number(row.get(role))) is not None]
    if len(values) < 4:
        return None
    x, y, a, b = values
    last = 0 if shares else 1
    return (x, y, a, b) if corners else (x, y, x + a - last, y + b - last)


def _are_shares(tables: list[_Table]) -> bool:
    """Whether all coordinates are from 0 to 1, and some are no whole numbers."""
    cells = (row.get(role) for table in tables for _, row in table.rows for role in _box_roles(table.corners))
    values = [value for cell in cells if (value := number(cell)) is not None]
    return bool(values) and min(values) >= 0 and max(values) <= 1 and any(value % 1 for value in values)
