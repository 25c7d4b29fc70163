"""Finds files in the folders of data sets, whose layouts are many."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from caffelite.detection.pictures import SUFFIXES
from caffelite.errors import DataError
from caffelite.prototxt.suggest import suggestion

_SAME = (("train", "training"), ("val", "valid", "validation", "dev"), ("test", "testing"), ("trainval",))
_MASKS = ("segmentation", "trimap", "mask")  # folders of pictures that are annotations
_WORDS = re.compile(r"[^a-z0-9]+")


def same_split(name: str, split: str) -> bool:
    """Whether the name of a folder or file means a split: ``valid`` is ``val``, ``train_labels`` is ``train``."""
    words = {word for word in _WORDS.split(name.casefold()) if word}
    words |= {re.sub(r"\d+$", "", word) for word in words}
    wanted = split.casefold()
    group = next((names for names in _SAME if wanted in names), (wanted,))
    return bool(words & set(group)) or name.casefold() == wanted


def standard_splits(names: Iterable[str]) -> list[str]:
    """The usual splits that some names of folders or files mean."""
    found = list(names)
    return [group[0] for group in _SAME if any(same_split(name, group[0]) for name in found)]


def files_below(folder: Path, suffixes: Sequence[str], depth: int = 8) -> list[Path]:
    """The files below a folder whose names end so, sorted; none that are hidden."""
    return sorted(path for path in _walk(folder, depth) if path.suffix.lower() in suffixes)


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, followlinks=True):
        level = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if level < depth else []
        yield from (Path(place, name) for name in files if not name.startswith("."))


def subfolder(folder: Path, names: Sequence[str]) -> Path | None:
    """The folder in a folder that has one of these names, in upper or lower case; the first name counts most."""
    found = {path.name.casefold(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    return next((found[name] for name in names if name in found), None)


def no_such_split(path: Path, split: str, there_are: Sequence[str]) -> DataError:
    """The error for a split that a set does not have."""
    if not there_are:
        fix = "leave the split out for all pictures; caffelite.detection.divide makes two parts of a set"
        return DataError(f"'{path}' has no splits, got '{split}'\n  Fix: {fix}")
    return DataError(
        f"'{path}' has no split '{split}'{suggestion(split, there_are)}\n  Fix: one of {', '.join(there_are)}"
    )


class Images:
    """The image files in some folders, found by the names that annotations have for them."""

    def __init__(self, *folders: Path):
        self._folders = folders

    def find(self, name: str, near: Path) -> Path | None:
        """The file with a name: as it is, or without its folders, or without its ending. None if there is none.

        Of several the one that has the most folders in common with ``near`` is meant.
        """
        plain = PurePosixPath(name.replace("\\", "/"))
        for folder in (*self._folders, near.parent):
            if plain.suffix.lower() in SUFFIXES and (folder / plain).is_file():
                return folder / plain
        exact = self._by_name.get(plain.name.casefold())
        stem = plain.stem if plain.suffix.lower() in SUFFIXES else plain.name
        found = exact or self._by_stem.get(stem.casefold(), [])
        return max(found, key=lambda path: _common(path, near), default=None)

    @cached_property
    def all(self) -> list[Path]:
        """Every image, sorted; masks are none."""
        found = [path for folder in self._folders for path in files_below(folder, SUFFIXES)]
        return [path for path in dict.fromkeys(found) if not _is_mask(path, self._folders)]

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found = defaultdict(list)
        for path in self.all:
            found[path.name.casefold()].append(path)
        return dict(found)

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        found = defaultdict(list)
        for path in self.all:
            found[path.stem.casefold()].append(path)
        return dict(found)


def _is_mask(path: Path, roots: tuple[Path, ...]) -> bool:
    folders = next(path.relative_to(root).parts[:-1] for root in roots if path.is_relative_to(root))
    return any(folder.casefold().startswith(_MASKS) for folder in folders)


def _common(a: Path, b: Path) -> int:
    return len(os.path.commonpath([a.parent.absolute(), b.parent.absolute()]).split(os.sep))
