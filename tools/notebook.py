"""Makes a Jupyter notebook of a page of the documentation, so that both say the same.

::

    python tools/notebook.py docs/detection_tutorial.md docs/notebooks/detection.ipynb

Blocks marked as Python become cells of code, all else cells of text. Links to other pages are made to lead there from
the notebook's folder. Only the standard library is needed.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

CODE = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)]+)\)")


def notebook(page: Path, target: Path) -> str:
    """The notebook's JSON."""
    parts = CODE.split(page.read_text(encoding="utf-8"))
    way = os.path.relpath(page.parent, target.parent)
    cells = []
    for number, part in enumerate(parts):
        if part.strip():
            cells.append(_code(part) if number % 2 else _text(LINK.sub(rf"]({way}/\1)", part)))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    content = {
        "cells": cells,
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _code(text: str) -> dict[str, Any]:
    lines = text.strip("\n").splitlines(keepends=True)
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": lines}


def _text(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text.strip("\n").splitlines(keepends=True)}


def main() -> None:
    """Writes the notebook that the command line names."""
    if len(sys.argv) != 3:
        sys.exit(f"expected a page and the notebook to write\n\n{__doc__}")
    page, target = map(Path, sys.argv[1:])
    target.write_text(notebook(page, target), encoding="utf-8")


if __name__ == "__main__":
    main()
