"""Batches of windows that are cut out of images: the WindowData layer's source.

Source: BVLC Caffe, window_data_layer.cpp; Girshick et al., "Rich feature hierarchies for accurate object detection and
semantic segmentation" (2014), appendix A.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Any, NamedTuple

import numpy as np

from caffelite.data import opencv
from caffelite.data.mean import read_mean
from caffelite.data.owner import NOBODY, Owner
from caffelite.data.prefetch import Arrays
from caffelite.data.skipped import MAX_IN_A_ROW, Bad, BadRecordError, too_many_in_a_row
from caffelite.data.transform import TransformParams
from caffelite.data.window_file import BOX, IMAGE, LABEL, WindowFile
from caffelite.random import RandomSource
from caffelite.types import Shape

CHANNELS = 3  # images are always read in colour


class Side(NamedTuple):
    """What is cut along one axis: pixels ``first`` to ``last``, which become ``length``, with free ones around them."""

    first: int
    last: int
    length: int
    before: int = 0
    after: int = 0


@dataclass(frozen=True)
class Cropping:
    """How a window becomes a square of ``size`` pixels: of itself, and ``context`` pixels around it.

    ``square``: of the tightest square around it; otherwise its sides are scaled each for itself.
    """

    size: int
    context: int = 0
    square: bool = False

    @property
    def pads(self) -> bool:
        """Whether what is cut may go beyond the image."""
        return self.context > 0 or self.square

    def sides(self, box: np.ndarray, height: int, width: int) -> tuple[Side, Side]:
        """Rows and columns that are cut for a window x1 y1 x2 y2, clipped to the image; in Caffe's arithmetic."""
        x1, y1, x2, y2 = map(int, box)
        if not self.pads:
            return Side(y1, y2, self.size), Side(x1, x2, self.size)
        half_height, half_width = np.float32((y2 - y1 + 1) / 2), np.float32((x2 - x1 + 1) / 2)
        middle_y, middle_x = np.float32(y1) + half_height, np.float32(x1) + half_width
        if self.square:
            half_height = half_width = max(half_height, half_width)
        scale = np.float32(self.size) / np.float32(self.size - 2 * self.context)
        return self._side(middle_y, half_height * scale, height), self._side(
            middle_x, half_width * scale, width
        )

    def _side(self, middle: np.float32, half: np.float32, extent: int) -> Side:
        first, last = _round(middle - half), _round(middle + half)
        before, after = max(0, -first), max(0, last - extent + 1)
        scale = np.float32(self.size) / np.float32(last - first + 1)
        first, last = first + before, last - after
        lengths = (last - first + 1, before, after)
        return Side(first, last, *(_round(np.float32(length) * scale) for length in lengths))

    def paste(self, image: np.ndarray, box: np.ndarray, mirror: bool) -> tuple[np.ndarray, int, int]:
        """The cut (C, h, w), uint8, of an image (C, H, W), and the row and column of the square where it belongs."""
        y, x = self.sides(box, *image.shape[1:])
        top, left = y.before, x.after if mirror else x.before
        height, width = min(y.length, self.size - top), min(x.length, self.size - left)
        if height < 1 or width < 1:  # a sliver of the image, thinner than a pixel after scaling
            return np.empty((len(image), 0, 0), np.uint8), 0, 0
        cut = opencv.resize(image[:, y.first : y.last + 1, x.first : x.last + 1], height, width)
        return cut[..., ::-1] if mirror else cut, top, left


def _round(value: np.float32) -> int:
    """As C rounds: halves away from zero."""
    size = floor(abs(float(value)) + 0.5)
    return size if value >= 0 else -size


class Mean:
    """The mean of each pixel or channel, and the factor: y = (x - mean) * scale.

    A mean image is used from an offset that its width decides for rows and columns alike, as in Caffe.
    """

    def __init__(self, params: TransformParams, scale: float, owner: Owner):
        if params.mean_file and params.mean_value:
            raise owner.error("expected mean_file or mean_value", "both", "remove one of them")
        self._scale, self._offset = np.float32(scale), 0
        self._mean: np.ndarray | None = None
        if params.mean_file:
            self._mean = self._image(params, owner)
        elif params.mean_value:
            if len(params.mean_value) not in (1, CHANNELS):
                raise owner.error(f"expected 1 or {CHANNELS} mean_value", len(params.mean_value))
            values = np.array(params.mean_value, np.float32).reshape(-1, 1, 1)
            self._mean = np.broadcast_to(values, (CHANNELS, params.crop_size, params.crop_size))

    def _image(self, params: TransformParams, owner: Owner) -> np.ndarray:
        mean, size = read_mean(params.mean_file, owner), params.crop_size
        self._offset = (mean.shape[2] - size) // 2
        if len(mean) != CHANNELS or self._offset < 0 or self._offset + size > mean.shape[1]:
            expected = f"expected a mean of {CHANNELS} channels, and of {size} x {size} pixels or more, in '{params.mean_file}'"
            raise owner.error(expected, "{} x {} x {}".format(*mean.shape))
        return mean

    def apply(self, x: np.ndarray, y: np.ndarray, top: int, left: int) -> None:
        """Transforms pixels x (C, h, w) into y, which lies at (top, left) of the square."""
        if self._mean is None:
            np.multiply(x, self._scale, out=y, dtype=np.float32)
            return
        down, right = top + self._offset, left + self._offset
        mean = self._mean[:, down : down + y.shape[1], right : right + y.shape[2]]
        np.subtract(x, mean, out=y, dtype=np.float32)
        y *= self._scale


def crop_settings(layer: Any, owner: Owner = NOBODY) -> tuple[Cropping, Mean]:
    """How a WindowData layer (a LayerParameter) crops. Raises DataError and MissingFileError for a wrong mean."""
    p, params = layer.window_data_param, TransformParams.from_message(layer.transform_param)
    cropping = Cropping(params.crop_size, p.context_pad, p.crop_mode == "square")
    return cropping, Mean(params, p.scale, owner)


def put_crop(
    image: np.ndarray, box: np.ndarray, cropping: Cropping, mean: Mean, out: np.ndarray, mirror: bool = False
) -> None:
    """What a net sees of the window x1 y1 x2 y2 of an image (C, H, W), uint8: into zeros (C, size, size), float32."""
    pixels, top, left = cropping.paste(image, box, mirror)
    mean.apply(pixels, out[:, top : top + pixels.shape[1], left : left + pixels.shape[2]], top, left)


class WindowBatches:
    """Makes any batch of windows: arrays "data" (N, 3, size, size) and "label" (N,).

    First come background windows, then ``foreground`` foreground ones, drawn with replacement; each has draws of its
    own, which its number in the run decides. A window in an image that cannot be read is replaced by the next one in
    another image.
    """

    varying = False
    slow = True

    def __init__(
        self,
        windows: WindowFile,
        batch_size: int,
        foreground: int,
        cropping: Cropping,
        mean: Mean,
        random: RandomSource,
        owner: Owner = NOBODY,
        *,
        mirror: bool = False,
        root: str = "",
        cache: bool = False,
    ):
        self.windows = windows
        self.batch_size = batch_size
        self.cropping = cropping
        self.mean = mean
        self.random = random
        self.owner = owner
        self.mirror = mirror
        self.root = root
        self.cache = cache
        self._foreground = foreground
        self._files: dict[int, bytes] = {}

    def __str__(self) -> str:
        return f"'{self.windows.file}'"

    def __len__(self) -> int:
        return len(self.windows.paths)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_files": {}}

    def close(self) -> None:
        """Drops the files that ``cache`` keeps."""
        self._files.clear()

    def identity(self) -> dict[str, Any]:
        """What must be the same when a run is resumed."""
        return {"windows": [len(self.windows.foreground), len(self.windows.background)]}

    def shapes(self, item: int) -> dict[str, Shape]:
        """Shapes of data and label. Raises DataError if too many images in a row cannot be read."""
        self._readable(*self._draw(item, self._words(item, 1)[0]), [])
        N, size = self.batch_size, self.cropping.size
        return {"data": (N, CHANNELS, size, size), "label": (N,)}

    def make(self, item: int, into: Arrays) -> list[Bad]:
        """Fills ``into["data"]`` and ``into["label"]``; gives the images that cannot be read.

        Raises:
            DataError: a window outside of its image, or too many images in a row that cannot be read.
        """
        into["data"][...] = 0
        bad = list[Bad]()
        for i, words in enumerate(self._words(item, self.batch_size)):
            window, pool = self._draw(item + i, words)
            window, image = self._readable(window, pool, bad)
            self._check_inside(window, image)
            mirror = self.mirror and int(words[1]) % 2 == 1
            put_crop(image, window[BOX], self.cropping, self.mean, into["data"][i], mirror)
            into["label"][i] = window[LABEL]
        return bad

    def _words(self, item: int, count: int) -> np.ndarray:
        return self.random.words(item, count, self.owner.name, "window")

    def _draw(self, item: int, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The window of an item, and those that it was drawn from."""
        is_background = item % self.batch_size < self.batch_size - self._foreground
        pool = self.windows.background if is_background else self.windows.foreground
        return pool[int(words[0]) % len(pool)], pool

    def _readable(
        self, window: np.ndarray, pool: np.ndarray, bad: list[Bad]
    ) -> tuple[np.ndarray, np.ndarray]:
        for _ in range(MAX_IN_A_ROW):
            try:
                return window, self._image(window[IMAGE])
            except BadRecordError as error:
                bad.append(Bad(int(window[IMAGE]), f"{self._name(window[IMAGE])}: {error}"))
            following = np.searchsorted(
                pool[:, IMAGE], window[IMAGE], side="right"
            )  # windows lie as in the file
            window = pool[following % len(pool)]
        raise too_many_in_a_row("images", bad, self.owner)

    def _image(self, number: int) -> np.ndarray:
        path = self.root + self.windows.path(number)
        if not self.cache:
            return opencv.read(path, color=True)
        if number not in self._files:
            self._files[number] = opencv.read_bytes(path)
        return opencv.decode(self._files[number], color=True)

    def _name(self, image: int) -> str:
        return f"image '{self.root}{self.windows.path(image)}' (number {image} of '{self.windows.file}')"

    def _check_inside(self, window: np.ndarray, image: np.ndarray) -> None:
        height, width = image.shape[1:]
        if outside(window[None, BOX], np.array([[height, width]]), self.cropping.pads)[0]:
            expected = f"expected windows inside of {self._name(window[IMAGE])}, {width} x {height} pixels"
            raise self.owner.error(expected, "{} {} {} {}".format(*window[BOX]))


def outside(boxes: np.ndarray, sizes: np.ndarray, padded: bool) -> np.ndarray:
    """Which boxes (n, 4) are not inside of their images' sizes (n, 2), or empty; if ``padded``, not even partly inside."""
    x1, y1, x2, y2 = boxes.T
    height, width = sizes.T
    wrong: np.ndarray = (x1 > x2) | (y1 > y2)
    if padded:
        wrong |= (x2 < 0) | (y2 < 0) | (x1 >= width) | (y1 >= height)
    else:
        wrong |= (x1 < 0) | (y1 < 0) | (x2 >= width) | (y2 >= height)
    return wrong


def check_windows(windows: WindowFile, foreground: int, background: int, padded: bool, owner: Owner) -> None:
    """Checks the windows of a file before any is drawn.

    Raises:
        DataError: windows of a kind that each batch has so many of are missing, or one is outside of its image.
    """
    for wanted, pool, kind in (
        (foreground, windows.foreground, "foreground window (overlap of at least fg_threshold)"),
        (background, windows.background, "background window (overlap below bg_threshold)"),
    ):
        if wanted and not len(pool):
            raise owner.error(f"expected at least one {kind} in '{windows.file}'", "none")
        wrong = np.flatnonzero(outside(pool[:, BOX], windows.sizes[pool[:, IMAGE]], padded))
        if len(wrong):
            window = pool[wrong[0]]
            height, width = windows.sizes[window[IMAGE]]
            expected = (
                f"expected windows inside of image '{windows.path(window[IMAGE])}', {width} x {height} pixels"
            )
            got = (
                "{} {} {} {}".format(*window[BOX])
                + f" and {len(wrong) - 1} more such windows in '{windows.file}'"
            )
            raise owner.error(expected, got, "clip the windows to their images; coordinates count from 0")
