"""Where each field of a message stands in the text that it was read from."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TypeAlias

from caffelite.types import NOWHERE, Location

# ("layer", 3, "convolution_param", "num_output"): names of fields, each repeated one followed by an index.
Path: TypeAlias = tuple[str | int, ...]


@dataclass(slots=True)
class Spot:
    """A message in the text: the offset of its name, and those of its fields, one for each repetition."""

    offset: int
    fields: dict[str, list[int | Spot]] = field(default_factory=dict)


class Lines:
    """Line and column of a character offset in a text. Columns count characters; a tab is one."""

    def __init__(self, text: str, file: str):
        self.file = file
        self._starts = [0]
        at = text.find("\n")
        while at >= 0:
            self._starts.append(at + 1)
            at = text.find("\n", at + 1)

    def location(self, offset: int) -> Location:
        """The place of the character at ``offset``."""
        line = bisect_right(self._starts, offset)
        return Location(self.file, line, offset - self._starts[line - 1] + 1)


class Positions:
    """The places of all fields of one text."""

    def __init__(self, lines: Lines, root: Spot):
        self._lines = lines
        self._root = root

    @property
    def file(self) -> str:
        """The file, as messages about it name it."""
        return self._lines.file

    def locate(self, path: Path) -> Location:
        """The place of a field, or of the innermost message around it that the text holds.

        A field that is repeated counts by its index; without one its first occurrence is meant.
        """
        spot: int | Spot = self._root
        at = 0
        while at < len(path) and isinstance(spot, Spot):
            found = spot.fields.get(str(path[at]))
            index = path[at + 1] if at + 1 < len(path) else None
            number = index if isinstance(index, int) else 0
            if not found or number >= len(found):
                break
            spot = found[number]
            at += 2 if isinstance(index, int) else 1
        return self._lines.location(spot if isinstance(spot, int) else spot.offset)


@dataclass(frozen=True)
class Where:
    """The place of a message in its text. It outlives upgrades and filtering, which renumber layers."""

    positions: Positions | None = None
    path: Path = ()

    def at(self, *fields: str | int) -> Location:
        """The place of a field inside the message; of the innermost one around it that the text holds.

        ``where.at("convolution_param", "num_output")`` is the line of ``num_output`` if it is given,
        otherwise that of ``convolution_param`` or of the layer. Unknown (false) for nets without a text.
        """
        return self.positions.locate(self.path + fields) if self.positions else NOWHERE

    def inside(self, *fields: str | int) -> Where:
        """The place of a message in this one."""
        return Where(self.positions, self.path + fields)


NO_SOURCE = Where()
