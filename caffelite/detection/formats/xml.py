"""XML as annotation tools write it, read safely: no document types, so no entities that grow without end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from caffelite.errors import DataError

_DEPTH = 50  # elements in elements; annotations have four


@dataclass
class Node:
    """An element: its name in lower case, its text, and the line where it begins."""

    tag: str
    line: int
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, tag: str) -> Iterator[Node]:
        """The elements in this one, not deeper, that have a name."""
        return (child for child in self.children if child.tag == tag)

    def find(self, tag: str) -> Node | None:
        """The first of them."""
        return next(self.all(tag), None)

    def value(self, tag: str) -> str:
        """The text of the first of them, without spaces around it; empty if there is none."""
        node = self.find(tag)
        return node.text.strip() if node else ""


def read_xml(path: Path) -> Node:
    """The outermost element of a file in any encoding that it names.

    Raises:
        DataError: it is no XML, or has a DOCTYPE; names file and line.
    """
    try:
        return _Reader(path).read(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


class _Reader:
    def __init__(self, path: Path):
        self._path = path
        self._parser: Any = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._open = [Node("", 0)]

    def read(self, data: bytes) -> Node:
        if not data.strip():
            raise DataError(f"{self._path}: the file is empty\n  Fix: annotate the picture anew")
        try:
            self._parser.Parse(data.lstrip(), True)
        except (expat.ExpatError, ValueError, LookupError) as error:
            line = getattr(error, "lineno", 1)
            fix = "mend it, or save it as UTF-8 if it has letters of another encoding"
            raise DataError(f"{self._path}:{line}: no valid XML: {error}\n  Fix: {fix}") from error
        return self._open[0].children[0]

    def _start(self, tag: str, _: dict[str, str]) -> None:
        if len(self._open) > _DEPTH:
            raise self._error("elements are nested too deeply", "annotate the picture anew")
        node = Node(tag.casefold(), self._parser.CurrentLineNumber)
        self._open[-1].children.append(node)
        self._open.append(node)

    def _end(self, _: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        self._open[-1].text += text

    def _doctype(self, *_: object) -> None:
        raise self._error(
            "a DOCTYPE is not allowed in annotations", "remove it, and the entities that it declares"
        )

    def _error(self, text: str, fix: str) -> DataError:
        return DataError(f"{self._path}:{self._parser.CurrentLineNumber}: {text}\n  Fix: {fix}")
