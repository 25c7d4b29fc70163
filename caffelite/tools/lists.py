"""Text files that list files, a line each."""

from __future__ import annotations

import os
from pathlib import Path

from caffelite.data.lists import open_list
from caffelite.data.owner import NOBODY
from caffelite.errors import DataError


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """The lines of a list that are not empty, without blanks around them, with their numbers from 1.

    Lines end with ``\\n`` or ``\\r\\n`` alone, since names may hold whatever else Unicode counts as a line's end.

    Raises:
        MissingFileError, DataError: no such file, no plain text, or an empty list.
    """
    with open_list(str(path), "list", NOBODY) as file:
        lines = [(number, os.fsdecode(line.strip())) for number, line in enumerate(file, 1) if line.strip()]
    if not lines:
        raise DataError(f"list '{path}' is empty")
    return lines
