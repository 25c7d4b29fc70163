"""The few words that every stage shares."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import prod

Shape = tuple[int, ...]


class Phase(IntEnum):
    """Caffe's phase of a net; the numbers are those of ``caffe.proto`` and of pycaffe."""

    TRAIN = 0
    TEST = 1


@dataclass(frozen=True, order=True)
class Location:
    """A place in a text file. Lines and columns count from 1; 0 means unknown."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __bool__(self) -> bool:
        return bool(self.file or self.line)

    def __str__(self) -> str:
        parts = [self.file or "<text>"]
        if self.line:
            parts.append(str(self.line))
            if self.column:
                parts.append(str(self.column))
        return ":".join(parts)


NOWHERE = Location()


def count(shape: Shape, start: int = 0, end: int | None = None) -> int:
    """Elements of the axes ``start`` to ``end`` (exclusive) of a shape; 1 for none."""
    return prod(shape[start:end])


def shape_text(shape: Shape) -> str:
    """Caffe's way to print a shape: ``4 3 (12)``."""
    return "".join(f"{dim} " for dim in shape) + f"({prod(shape)})"
