"""The data.yaml of a YOLO set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffelite.detection.formats.text import read_text
from caffelite.errors import DataError


def read_yaml(path: Path) -> dict[str, Any]:
    """The names and values of a file; every value is text, so that a class may be called ``no`` or ``1``.

    Raises:
        DataError: it is no YAML with names and values; tells file and line.
        MissingFileError: there is no such file.
    """
    import yaml

    text = read_text(path)
    try:
        values = yaml.load(text, yaml.BaseLoader)  # makes text, lists and dicts alone: no code runs
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        fix = "write names: [a, b, c]"
        raise DataError(
            f"{place}: no valid YAML: {getattr(error, 'problem', error)}\n  Fix: {fix}"
        ) from error
    if not isinstance(values, dict):
        raise DataError(
            f"{path}: expected 'name: value' in lines, got {text.strip()[:40]!r}\n  Fix: write names: [a, b, c]"
        )
    return values
