"""Columns of text."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence


def table(head: Sequence[str], body: Sequence[Sequence[str]], right: Collection[int] = ()) -> Iterator[str]:
    """The lines of a table; columns in ``right`` are aligned to the right."""
    widths = [max(len(row[column]) for row in (head, *body)) for column in range(len(head))]
    for row in (head, ["-" * width for width in widths], *body):
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
