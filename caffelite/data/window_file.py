"""R-CNN's window files: images and the windows in them, each with a class and its overlap with an object.

For each image the lines ``# index``, path, channels, height, width, number of windows, and then as many lines
``class overlap x1 y1 x2 y2``; coordinates count from 0, the last pixel included. Blank lines may part images, and the four
numbers may stand in one line: Caffe reads words, not lines.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from caffelite.data.keys import Keys
from caffelite.data.lists import open_list
from caffelite.data.owner import NOBODY, Owner
from caffelite.errors import DataError

IMAGE, LABEL = 0, 1
BOX = np.s_[2:6]
_COLUMNS = 6  # class overlap x1 y1 x2 y2
_WHOLE = [0, 2, 3, 4, 5]  # all of them but the overlap
_NUMBERS = 4  # channels, height, width, number of windows
_LARGEST = 2**30  # a class or coordinate; sums of two fit into 32 bits


@dataclass(frozen=True)
class WindowFile:
    """The windows of a file. ``foreground`` and ``background``: int32 (n, 6), image label x1 y1 x2 y2.

    ``sizes``: int32 (images, 2), height and width that the file tells. Background windows have label 0.
    """

    file: str
    paths: Keys
    sizes: np.ndarray
    foreground: np.ndarray
    background: np.ndarray

    def path(self, image: int) -> str:
        """Where an image is."""
        return os.fsdecode(self.paths.key(image))


class Windows(NamedTuple):
    """An image as a file has it: path, height and width, rows class overlap x1 y1 x2 y2, the line of the first one."""

    path: bytes
    size: tuple[int, int]
    windows: np.ndarray  # float64 (n, 6)
    line: int


def read_window_file(
    path: str, fg_threshold: float, bg_threshold: float, owner: Owner = NOBODY
) -> WindowFile:
    """Windows that overlap by ``fg_threshold`` or more are foreground, those below ``bg_threshold`` background.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no window file, or a foreground window has class 0; names the line.
    """
    images = read_images(path, owner)
    paths = Keys(image.path for image in images)
    sizes = np.array([image.size for image in images], np.int32)
    windows = np.concatenate([image.windows for image in images])
    numbers = np.repeat(np.arange(len(images)), [len(image.windows) for image in images])
    overlap = windows[:, 1].astype(np.float32)
    chosen = overlap >= np.float32(fg_threshold)
    foreground = _table(numbers, windows, chosen)
    if (foreground[:, LABEL] < 1).any():
        image = foreground[foreground[:, LABEL] < 1][0, IMAGE]
        name = os.fsdecode(paths.key(image))
        text = f"expected classes above 0 for foreground windows (overlap >= {fg_threshold:g}) in '{path}'"
        raise owner.error(
            text, f"class 0 in image '{name}'", "class 0 is the background; count classes from 1"
        )
    background = _table(numbers, windows, ~chosen & (overlap < np.float32(bg_threshold)))
    background[:, LABEL] = 0
    return WindowFile(path, paths, sizes, foreground, background)


def read_images(path: str, owner: Owner = NOBODY) -> list[Windows]:
    """All images of a file with all their windows. Raises what :func:`read_window_file` does for broken files."""
    return _Lines(path, owner).images()


def _table(numbers: np.ndarray, windows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.column_stack([numbers[chosen], windows[chosen][:, _WHOLE]]).astype(np.int32)


class _Lines:
    """Reads a window file block by block; numbers are read by NumPy, millions of windows in seconds."""

    def __init__(self, path: str, owner: Owner):
        self._path, self._owner = path, owner
        with open_list(path, "window file", owner) as file:
            self._text = file.read().rstrip() + b"\n"
        if self._text == b"\n":
            raise owner.error(f"expected images and windows in '{path}'", "none")
        ends = np.flatnonzero(np.frombuffer(self._text, np.uint8) == ord("\n"))
        self._starts = np.concatenate([[0], ends + 1])
        self._at = 0

    def images(self) -> list[Windows]:
        """All images of the file."""
        found = []
        while self._at < len(self._starts) - 1:
            found.append(self._image())
        return found

    def _image(self) -> Windows:
        mark = self._line()
        if not mark.startswith(b"#"):
            raise self._error("'# index' before each image", mark)
        path, numbers = self._line(), self._line()
        while len(numbers.split()) < _NUMBERS:
            numbers += b" " + self._line()
        if not re.fullmatch(rb"\d{1,9}(\s+\d{1,9}){3}", numbers):
            raise self._error("channels, height, width and number of windows", numbers)
        _, height, width, count = map(int, numbers.split())
        line = self._at + 1
        return Windows(path, (height, width), self._windows(count), line)

    def _windows(self, count: int) -> np.ndarray:
        first, text = self._at, self._words(count) if count else b""
        try:
            values = np.array(text.split(), np.float64).reshape(count, _COLUMNS)
        except ValueError as error:
            self._at = first
            expected = f"{count} lines 'class overlap x1 y1 x2 y2' from here"
            raise self._error(expected, self._words(1)) from error
        whole = values[:, _WHOLE]
        good = np.isfinite(values[:, 1])
        good &= ((np.abs(whole) < _LARGEST) & (np.trunc(whole) == whole)).all(axis=1)
        if not good.all():
            self._at = first + int(good.argmin())
            raise self._error("a whole class and coordinates, and a finite overlap,", self._words(1))
        return values

    def _line(self) -> bytes:
        """The next line that is not blank."""
        while not (line := self._words(1)):
            pass
        return line

    def _words(self, lines: int) -> bytes:
        """The text of the next lines."""
        last = self._at + lines
        if last > len(self._starts) - 1:
            raise self._error("the rest of an image's windows", b"the end of the file")
        text = self._text[self._starts[self._at] : self._starts[last]]
        self._at = last
        return text.strip()

    def _error(self, expected: str, got: bytes) -> DataError:
        shown = f"'{got.decode('utf-8', 'backslashreplace'):.60}'" if got else ""
        return self._owner.error(f"expected {expected} in line {self._at} of '{self._path}'", shown)
