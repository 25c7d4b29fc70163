"""Boxes as people draw them, made fit for use, with a note of each that was not."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from caffelite.detection.findings import Findings
from caffelite.detection.formats.records import Box, Record, Records, Thing
from caffelite.detection.headers import Header, turn_box

_ROUNDING = 1.0  # pixels: what lies outside by less was rounded, not drawn wrong


@dataclass
class BoxReader:
    """Reads the boxes of one picture. ``header``: of its image."""

    records: Records
    record: Record
    header: Header
    findings: Findings

    def __post_init__(self) -> None:
        self.width, self.height = self.header.shown
        self._turned = self._check_size()

    def box(self, thing: Thing) -> Box | None:
        """The box of an object inside the picture as it is seen; None if there is nothing of it."""
        if not all(map(isfinite, thing.box)):
            text = f"expected numbers for a box, got {self._shown(thing.box)}"
            self.findings.refuse("number", thing.place, text, "write the box anew, or take the object out")
            return None
        box = self._pixels(thing.box)
        return self._inside(self._ordered(box, thing), thing)

    # -- the picture -----------------------------------------------------------------------------------

    def _check_size(self) -> bool:
        """Notes a size that is not the picture's; whether the boxes are of the picture as it is stored, not as seen."""
        said, stored = self.record.size, self.header[:2]
        if 0 in said or said == self.header.shown:
            return False
        if said == stored:
            text = (
                f"boxes are of the picture as stored, {_size(stored)}, which the camera noted to be turned "
                f"(EXIF orientation {self.header.orientation}); they were turned with it"
            )
            fix = "save the picture upright, and its boxes with it"
            self.findings.warn("turned", self.record.source, text, fix)
            return True
        text = f"the file says that the picture is {_size(said)}, but it is {_size(self.header.shown)}; boxes are read as they are"
        fix = "if the picture was resized after the boxes were drawn, resize them, too"
        self.findings.warn("size", self.record.source, text, fix)
        return False

    def _pixels(self, box: Box) -> Box:
        if self.records.shares:
            x1, y1, x2, y2 = box
            return x1 * self.width, y1 * self.height, x2 * self.width - 1, y2 * self.height - 1
        return turn_box(box, self.header.orientation, *self.header[:2]) if self._turned else box

    # -- the box ---------------------------------------------------------------------------------------

    def _ordered(self, box: Box, thing: Thing) -> Box:
        x1, y1, x2, y2 = box
        if x2 < x1 - _ROUNDING or y2 < y1 - _ROUNDING:
            text = f"the corners of box {self._shown(box)} are swapped; read as {{}}"
            box = min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
            self.findings.warn(
                "swapped", thing.place, text.format(self._shown(box)), "write the smaller first"
            )
        return box

    def _inside(self, box: Box, thing: Thing) -> Box | None:
        x1, y1, x2, y2 = box
        right, bottom = self.width - 1, self.height - 1
        inner = max(x1, 0.0), max(y1, 0.0), min(x2, right), min(y2, bottom)
        if inner[2] <= inner[0] - 1 or inner[3] <= inner[1] - 1:
            self._warn_of_nothing(box, thing)
            return None
        if max(abs(a - b) for a, b in zip(box, inner, strict=True)) >= _ROUNDING:
            self._warn_of_outside(box, thing)
        if min(inner[2] - inner[0], inner[3] - inner[1]) <= 0:
            text = f"box {self._shown(box)} is at most one pixel wide or high"
            self.findings.warn("thin", thing.place, text, "draw it anew, or take it out")
        return inner[0], inner[1], max(inner[0], inner[2]), max(inner[1], inner[3])

    def _warn_of_nothing(self, box: Box, thing: Thing) -> None:
        empty = box[2] <= box[0] - 1 or box[3] <= box[1] - 1
        what = "has no area" if empty else f"is outside of the picture, {_size((self.width, self.height))}"
        text = f"box {self._shown(box)} {what}; the object is left out"
        self.findings.warn("nothing", thing.place, text, "draw it anew, or take it out")

    def _warn_of_outside(self, box: Box, thing: Thing) -> None:
        start, end = min(box[:2]), max(box[2] - self.width, box[3] - self.height)
        if self.records.origin and start == -1 and end <= -1:
            text = f"box {self._shown(box)} begins at 0 in a format that counts from 1; read as 1"
            self.findings.warn("zero", thing.place, text, "add 1 to all coordinates if they count from 0")
            return
        text = f"box {self._shown(box)} reaches out of the picture, {_size((self.width, self.height))}; cut to fit"
        self.findings.warn("outside", thing.place, text, "draw it anew if it is of another picture")

    def _shown(self, box: Box) -> str:
        """A box in the coordinates of the file."""
        x1, y1, x2, y2 = (value + self.records.origin for value in box)
        return _text((x1, y1, x2, y2))


def _text(box: Box) -> str:
    return f"({', '.join(f'{value:g}' for value in box)})"


def _size(size: tuple[int, ...]) -> str:
    return f"{size[0]} x {size[1]}"
