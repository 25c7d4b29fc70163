"""Caffe's data transformer: decode, crop, mirror, subtract a mean, scale.

Source: BVLC Caffe, data_transformer.cpp. One thing differs on purpose: random draws belong to the item's
number in the run, not to the order of calls.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from caffelite.data import opencv
from caffelite.data.datum import Datum
from caffelite.data.mean import read_mean
from caffelite.data.owner import NOBODY, Owner
from caffelite.types import Phase, Shape

_log = logging.getLogger(__name__)

# Passes over about this many values stay in the second-level cache.
_CHUNK_VALUES = 1 << 16


@dataclass(frozen=True)
class TransformParams:
    """The fields of Caffe's ``TransformationParameter``."""

    scale: float = 1.0
    mirror: bool = False
    crop_size: int = 0
    mean_file: str = ""
    mean_value: tuple[float, ...] = ()
    force_color: bool = False
    force_gray: bool = False

    @classmethod
    def from_message(cls, message: Any) -> TransformParams:
        """From a protobuf message, or anything else with these attributes."""
        return cls(
            scale=message.scale,
            mirror=message.mirror,
            crop_size=message.crop_size,
            mean_file=message.mean_file,
            mean_value=tuple(message.mean_value),
            force_color=message.force_color,
            force_gray=message.force_gray,
        )


class Transformer:
    """y = (x - mean) * scale of a crop of x, mirrored or not, in float32.

    Crops lie at random in the TRAIN phase, in the centre otherwise; with ``mirror`` half of the items are
    mirrored, in either phase. The mean belongs to the place in the uncropped, unmirrored image.

    Raises:
        MissingFileError, DataError: parameters that contradict each other, a mean file that is not there.
    """

    def __init__(self, params: TransformParams, phase: Phase, owner: Owner = NOBODY):
        if params.mean_file and params.mean_value:
            raise owner.error("expected mean_file or mean_value", "both", "remove one of them")
        if params.force_color and params.force_gray:
            raise owner.error("expected force_color or force_gray", "both", "remove one of them")
        self.params = params
        self.random_crop = phase == Phase.TRAIN and params.crop_size > 0
        self._told = False
        self.draws = self.random_crop or params.mirror
        self._scale = np.float32(params.scale)
        self._mean: np.ndarray | None = None
        if params.mean_file:
            self._mean = read_mean(params.mean_file, owner)
        elif params.mean_value:
            self._mean = np.array(params.mean_value, np.float32).reshape(-1, 1, 1)

    def image(self, datum: Datum) -> np.ndarray:
        """The values of a record before any arithmetic: (C, H, W), uint8 or float32.

        ``force_color`` and ``force_gray`` act on encoded images alone, as in Caffe.

        Raises:
            DataError: a record without values or with a wrong number of them; an image that does not decode.
        """
        color = True if self.params.force_color else False if self.params.force_gray else None
        if not datum.encoded:
            if color is not None and not self._told:
                self._told = True
                _log.warning("force_color and force_gray do nothing to records that are not encoded")
            return datum.array()
        return opencv.decode(datum.data or b"", color)

    def output_shape(self, shape: Shape) -> Shape:
        """What becomes of an image of shape (C, H, W).

        Raises:
            DataError: the crop is larger than the image, or the mean does not fit it.
        """
        C, H, W = shape
        crop = self.params.crop_size
        if crop > min(H, W):
            fix = f"crop_size: {min(H, W)} or less, or larger images"
            expected = f"expected images of at least {crop} x {crop} for crop_size"
            raise NOBODY.error(expected, _size(shape), fix)
        self._check_mean(shape)
        return (C, crop, crop) if crop else shape

    def apply(self, x: np.ndarray, out: np.ndarray, words: np.ndarray | None = None) -> None:
        """Transforms one image x (C, H, W) into ``out`` (C, h, w), float32; their shapes were checked before.

        ``words``: the item's four random words (RandomSource.words); needed if ``draws``.
        """
        top, left, mirror = self._draw(x.shape[-2:], words)
        self._write(x, out[..., ::-1] if mirror else out, top, left)

    def apply_batch(self, x: np.ndarray, out: np.ndarray, words: np.ndarray | None = None) -> None:
        """The same for a batch: x (N, C, H, W), ``out`` (N, C, h, w), ``words`` (N, 4)."""
        if words is not None and self.draws:
            for image, y, item_words in zip(x, out, words, strict=True):
                self.apply(image, y, item_words)
            return
        top, left, _ = self._draw(x.shape[-2:], None)
        step = max(1, _CHUNK_VALUES // max(1, out[0].size))
        for first in range(0, len(x), step):
            self._write(x[first : first + step], out[first : first + step], top, left)

    def _draw(self, size: Shape, words: np.ndarray | None) -> tuple[int, int, bool]:
        """Where the crop lies, and whether to mirror."""
        crop = self.params.crop_size
        spare = (size[0] - crop, size[1] - crop) if crop else (0, 0)
        if words is None:
            return spare[0] // 2, spare[1] // 2, False
        mirror, down, right = (int(word) for word in words[:3])
        mirrored = self.params.mirror and mirror % 2 == 1
        if self.random_crop:
            return down % (spare[0] + 1), right % (spare[1] + 1), mirrored
        return spare[0] // 2, spare[1] // 2, mirrored

    def _write(self, x: np.ndarray, y: np.ndarray, top: int, left: int) -> None:
        """y = (x - mean) * scale, in float32 step by step as Caffe computes it."""
        window = np.s_[..., top : top + y.shape[-2], left : left + y.shape[-1]]
        x, mean, scale = x[window], self._mean, self._scale
        if mean is None:
            np.multiply(x, scale, out=y, dtype=np.float32)
            return
        np.subtract(x, mean[window] if self.params.mean_file else mean, out=y, dtype=np.float32)
        if scale != 1:
            np.multiply(y, scale, out=y)

    def _check_mean(self, shape: Shape) -> None:
        mean, C = self._mean, shape[0]
        if mean is None:
            return
        if self.params.mean_file and mean.shape != shape:
            means = " ".join(f"mean_value: {value:.6g}" for value in mean.mean(axis=(1, 2)))
            fix = f"make the mean of these images, uncropped, or replace mean_file by its averages: {means}"
            file = self.params.mean_file
            expected = f"expected images of the size of mean_file '{file}', {_size(mean.shape)}"
            raise NOBODY.error(expected, _size(shape), fix)
        if not self.params.mean_file and len(mean) not in (1, C):
            raise NOBODY.error(f"expected 1 or {C} mean_value for {C} channels", len(mean))


def _size(shape: Shape) -> str:
    return "{} x {} x {} (channels x height x width)".format(*shape)
