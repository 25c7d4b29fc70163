"""pycaffe's Detector: a net that looks at windows of images, as R-CNN does.

Source: ``detector.py`` of BVLC Caffe; Girshick et al., "Rich feature hierarchies for accurate object detection and
semantic segmentation" (2014).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from caffelite import io
from caffelite.data import opencv
from caffelite.errors import DataError, UsageError
from caffelite.net import Net
from caffelite.types import Phase

StrPath = str | os.PathLike[str]

_PROPOSAL_WIDTH, _SMALLEST_SIDE = 500, 20  # R-CNN proposes in images of this width, and nothing smaller
_BASE_K, _INC_K, _SIGMA = 50, 50, 0.8


class Detector(Net):
    """A net for windows of images; a window is (ymin, xmin, ymax, xmax), the ends not included.

    ``context_pad``: how many pixels at each side of the net's input show what is around the window. ``mean``,
    ``input_scale``, ``raw_scale`` and ``channel_swap``: see :class:`caffelite.io.Transformer`. ``options``: ``engine``,
    ``precision`` and ``seed`` of the Net.
    """

    def __init__(
        self,
        model_file: str,
        pretrained_file: str | None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
        **options: Any,
    ):
        super().__init__(model_file, Phase.TEST, weights=pretrained_file, **options)
        self.transformer = io.image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(
        self, images_windows: Iterable[tuple[StrPath, Iterable[Sequence[int]]]]
    ) -> list[dict[str, Any]]:
        """Runs the net on windows of image files, given as pairs of a file name and its windows.

        Gives a dict for each window: ``window``, ``prediction`` (the net's first output for it), ``filename``.
        Raises UsageError for an empty window, MissingFileError and DataError for a file that is no image.
        """
        found: list[dict[str, Any]] = []
        crops = []
        name = self.inputs[0]
        for filename, windows in images_windows:
            image = io.load_image(filename)
            for window in windows:
                try:
                    crops.append(self.transformer.preprocess(name, self.crop(image, window)))
                except UsageError as error:
                    raise UsageError(f"image '{os.fspath(filename)}': {error}") from error
                found.append({"window": window, "filename": filename})
        if crops:
            predictions = self.forward_all(None, **{name: np.stack(crops)})[self.outputs[0]]
            for detection, prediction in zip(found, predictions, strict=True):
                detection["prediction"] = prediction
        return found

    def detect_selective_search(self, image_fnames: Iterable[StrPath]) -> list[dict[str, Any]]:
        """The same with the windows that Selective Search proposes, about two thousand an image.

        pycaffe calls a MATLAB program for them; here OpenCV proposes, with the parameters of R-CNN, in the order of
        their coordinates. Raises DataError if the OpenCV that is installed is not the one with its contributed modules.
        """
        names = [os.path.abspath(name) for name in image_fnames]
        return self.detect_windows((name, selective_search(io.load_image(name))) for name in names)

    def crop(self, im: np.ndarray, window: Sequence[int]) -> np.ndarray:
        """A window of an image (H, W, K); with ``context_pad`` scaled to the net's input, context and mean around it.

        Raises UsageError for a window without pixels, and without context for one that begins outside of the image.
        """
        ymin, xmin, ymax, xmax = (int(edge) for edge in window)
        if self.context_pad:
            return self._crop_with_context(im, np.array([ymin, xmin, ymax, xmax]))
        return _pixels(im, ymin, xmin, ymax, xmax)

    def configure_crop(self, context_pad: int | None) -> None:
        """Sets how much context to show, and the mean that stands for what is outside of the image.

        Raises UsageError for context that leaves nothing of the window, and for inputs that are not square.
        """
        name = self.inputs[0]
        order = np.argsort(self.transformer.transpose[name])
        shape = self.blobs[name].shape[1:]
        self.crop_dims = np.array(shape)[order]
        self.context_pad = context_pad
        if not context_pad:
            return
        if shape[1] != shape[2] or 2 * context_pad >= shape[2]:
            raise UsageError(
                f"context_pad {context_pad}: expected a square input of more than {2 * context_pad} pixels a side, got {shape}\n"
                "  Fix: --context_pad 0 (in Python: context_pad=0), which shows nothing of what is around a window"
            )
        self.crop_mean = np.zeros(self.crop_dims, np.float32)
        if name in self.transformer.mean:
            self.crop_mean = self._unprocessed_mean(name, order)

    def _unprocessed_mean(self, name: str, order: np.ndarray) -> np.ndarray:
        """The mean as an image would have it: (H, W, K) or (1, 1, K), its channels and scale undone."""
        mean = self.transformer.mean[name].transpose(order)
        if name in self.transformer.channel_swap:
            mean = mean[:, :, np.argsort(self.transformer.channel_swap[name])]
        return mean / self.transformer.raw_scale.get(name, 1)

    def _crop_with_context(self, im: np.ndarray, window: np.ndarray) -> np.ndarray:
        size = self.blobs[self.inputs[0]].width
        box = _widened(window, size / (size - 2.0 * (self.context_pad or 0)))
        scale_h, scale_w = size / (box[2:] - box[:2] + 1)
        top, left = round(max(0, -box[0]) * scale_h), round(max(0, -box[1]) * scale_w)
        inside = np.clip(box, 0, [im.shape[0], im.shape[1]] * 2)
        clip_h, clip_w = inside[2:] - inside[:2] + 1
        h, w = min(round(clip_h * scale_h), size - top), min(round(clip_w * scale_w), size - left)
        ymin, xmin, ymax, xmax = map(int, inside)
        context = im[ymin:ymax, xmin:xmax]
        if not context.size or min(h, w) < 1:
            raise _no_window(im, *map(int, window))
        crop = np.ones(self.crop_dims, np.float32) * self.crop_mean
        crop[top : top + h, left : left + w] = io.resize_image(context, (h, w))
        return crop


def selective_search(image: np.ndarray) -> np.ndarray:
    """Windows (N, 4) that may hold objects in an RGB image (H, W, 3) of values in [0, 1]: integers, sorted.

    Uijlings et al., "Selective Search for Object Recognition" (2013), the fast mode of R-CNN: the image scaled to a
    width of 500 pixels, boxes of 20 pixels a side or more. Raises DataError without OpenCV's contributed modules.
    """
    cv2 = opencv.load()
    if not hasattr(cv2, "ximgproc"):
        raise DataError(
            "Selective Search needs OpenCV's contributed modules\n  Fix: pip uninstall the other OpenCV wheels, then "
            "pip install --force-reinstall --no-deps opencv-contrib-python-headless"
        )
    height, width = image.shape[:2]
    scale = _PROPOSAL_WIDTH / width
    pixels = np.clip(image[:, :, ::-1] * 255 + 0.5, 0, 255).astype(np.uint8)
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(cv2.resize(pixels, (_PROPOSAL_WIDTH, max(1, round(height * scale)))))
    search.switchToSelectiveSearchFast(_BASE_K, _INC_K, _SIGMA)
    x, y, w, h = search.process().T
    windows = np.stack([y, x, y + h, x + w], axis=1)[np.minimum(w, h) >= _SMALLEST_SIDE]
    windows = np.round(windows / scale).astype(int)
    return np.unique(np.clip(windows, 0, [height, width, height, width]), axis=0)


def _widened(window: np.ndarray, scale: float) -> np.ndarray:
    """The window with its context, in whole pixels; it may reach out of the image."""
    half = (window[2:] - window[:2] + 1) / 2.0
    centre = window[:2] + half
    return np.round(np.concatenate([centre - scale * half, centre + scale * half]))


def _pixels(im: np.ndarray, ymin: int, xmin: int, ymax: int, xmax: int) -> np.ndarray:
    found = im[ymin:ymax, xmin:xmax]
    if min(ymin, xmin) < 0 or not found.size:
        raise _no_window(im, ymin, xmin, ymax, xmax)
    return found


def _no_window(im: np.ndarray, ymin: int, xmin: int, ymax: int, xmax: int) -> UsageError:
    size = f"{im.shape[0]} x {im.shape[1]}"
    return UsageError(
        f"window (ymin {ymin}, xmin {xmin}, ymax {ymax}, xmax {xmax}) is no window of the image, which is {size}"
    )
