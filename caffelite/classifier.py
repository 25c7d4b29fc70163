"""pycaffe's Classifier: a net that predicts the classes of images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from caffelite import io
from caffelite.errors import UsageError
from caffelite.net import Net
from caffelite.types import Phase


class Classifier(Net):
    """A net for images that scales them, and averages over ten crops of each or takes the one in the centre.

    ``image_dims``: (height, width) to which images are scaled before they are cropped to the net's input; by default
    the input's own, so that all of an image is seen. ``mean``, ``input_scale``, ``raw_scale`` and ``channel_swap``:
    see :class:`caffelite.io.Transformer`. ``options``: ``engine``, ``precision`` and ``seed`` of the Net.

    Source: ``classifier.py`` of BVLC Caffe.
    """

    def __init__(
        self,
        model_file: str,
        pretrained_file: str | None,
        image_dims: io.Size | None = None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        **options: Any,
    ):
        super().__init__(model_file, Phase.TEST, weights=pretrained_file, **options)
        self.transformer = io.image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None or not len(image_dims) else image_dims

    def predict(self, inputs: Iterable[np.ndarray], oversample: bool = True) -> np.ndarray:
        """The first output for each image (H, W, K): (N, classes), averaged over ten crops if ``oversample``.

        Raises UsageError for no image, and for crops larger than ``image_dims``.
        """
        images = np.stack([io.resize_image(image, self.image_dims) for image in _some(inputs)])
        crops = io.oversample(images, self.crop_dims) if oversample else self._centres(images)
        name = self.inputs[0]
        data = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        predictions = self.forward_all(None, **{name: data})[self.outputs[0]]
        return predictions.reshape(len(images), 10, -1).mean(1) if oversample else predictions

    def _centres(self, images: np.ndarray) -> np.ndarray:
        (H, W), (h, w) = images.shape[1:3], io.checked_crop(images.shape[1:3], self.crop_dims)
        top, left = (H - h) // 2, (W - w) // 2
        return images[:, top : top + h, left : left + w]


def _some(inputs: Iterable[np.ndarray]) -> list[np.ndarray]:
    images = list(inputs)
    channels = {np.shape(image)[-1:] for image in images}
    if len(channels) != 1:
        raise UsageError(f"predict: expected images (H, W, K) of one K, got {sorted(channels) or 'no image'}")
    return images
