"""Writes the detectors of this folder, for the twenty classes of Pascal VOC.

::

    python models/detection/generate.py    # rewrites ARCH/METHOD/*

``caffelite det init`` writes the same for other classes, and fits sizes and anchors to data. What the nets are made of
is in ``caffelite/detection/recipes``.
"""

from __future__ import annotations

from pathlib import Path

from caffelite.detection.card import METHODS
from caffelite.detection.imdb import VOC
from caffelite.detection.recipes import ARCHS, choose, write_recipe


def write_all(folder: Path) -> list[Path]:
    """Writes all files below a folder and returns their paths."""
    paths = []
    for arch in ARCHS:
        for method in METHODS:
            choice = choose(arch=arch, method=method, classes=VOC)
            paths += write_recipe(folder / arch / method, choice.card, **choice.options)
    return paths


if __name__ == "__main__":
    write_all(Path(__file__).parent)
