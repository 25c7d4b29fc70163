"""BoxAnnotatorOHEM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.errors import DataError, layer_message
from caffelite.layers.base import Layer
from caffelite.types import Shape, count


class BoxAnnotatorOHEM(Layer):
    """Online hard example mining: keeps the labels and weights of the regions with the largest losses.

    Of each image the ``roi_per_img`` regions of largest loss stay as they are (equal losses in their order); the
    others get ``ignore_label`` (-1) and weights 0.

    Bottoms: rois (R, 5), rows of batch index, x1, y1, x2, y2; losses and labels, R numbers each; weights (R, C). All
             may have spatial axes (R, ., H, W), one region at each place.
    Tops:    hard_labels (R, 1, H, W); hard_weights (R, C, H, W).
    Gradient: none.
    Raises:  ShapeError; NetError unless roi_per_img is positive; DataError for a negative batch index.
    Example: rois [[0, 0, 0, 7, 7], [0, 2, 2, 5, 5]], losses [0.1, 2], labels [1, 2], weights [[1, 1], [1, 1]];
             box_annotator_ohem_param { roi_per_img: 1 }
    Source:  py-R-FCN, box_annotator_ohem_layer.cu (no CPU version). Shrivastava et al., "Training Region-based Object
             Detectors with Online Hard Example Mining", 2016.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("rois", "losses", "labels", "weights")
    tops: ClassVar[tuple[str, ...]] = ("hard_labels", "hard_weights")
    message: ClassVar[str] = "box_annotator_ohem_param"
    unforced: ClassVar[tuple[str, ...]] = bottoms

    def setup(self) -> None:
        if self.p.roi_per_img < 1:
            raise self.error("roi_per_img >= 1", self.p.roi_per_img, f"set {self.message}.roi_per_img")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        if not all(1 <= len(shape) <= 4 for shape in shapes):
            raise self.shape_error("bottoms with one to four axes", ", ".join(map(str, shapes)))
        rois, losses, labels, weights = ((*shape, *(1,) * (4 - len(shape))) for shape in shapes)
        one = (rois[0], 1, *rois[2:])
        if rois[1] != 5 or (losses, labels) != (one, one) or (weights[0], *weights[2:]) != (one[0], *one[2:]):
            expected = (
                "rois (R, 5), losses (R, 1), labels (R, 1), weights (R, C), all with the same spatial axes"
            )
            raise self.shape_error(expected, ", ".join(map(str, shapes)))
        return [one, weights]

    def forward(
        self, xp: Any, rois: Any, losses: Any, labels: Any, weights: Any, hard_labels: Any, hard_weights: Any
    ) -> None:
        shape = hard_labels.shape
        image = xp.trunc(rois.reshape(shape[0], 5, *shape[2:])[:, 0]).reshape(-1)
        hard = xp.zeros(count(shape), bool)
        hard[self._hardest(xp, image, losses.reshape(-1))] = True
        hard = hard.reshape(shape)
        hard_labels[...] = xp.where(hard, labels.reshape(shape), self.p.ignore_label)
        hard_weights[...] = xp.where(hard, weights.reshape(hard_weights.shape), 0)

    def _hardest(self, xp: Any, image: Any, losses: Any) -> Any:
        """Indices of the regions that stay."""
        if not (image >= 0).all():
            at = int((image >= 0).argmin())
            expected = "expected batch indices of 0 or more in rois"
            got = f"{float(image[at]):g} as roi {at}"
            raise DataError(layer_message(self.name, self.type, self.location(), expected, got))
        order = xp.lexsort(xp.stack([-losses, image]))  # image by image, the largest loss first
        _, first, inverse = xp.unique(image[order], return_index=True, return_inverse=True)
        rank = xp.arange(len(order)) - first[inverse]
        return order[rank < self.p.roi_per_img]
