"""SegAccuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.errors import DataError, layer_message
from caffelite.layers.base import Layer
from caffelite.types import Shape


class SegAccuracy(Layer):
    """Scores of a segmentation: pixel accuracy, mean accuracy of the classes that occur, mean intersection over union.

    All from the confusion matrix of the batch, or with ``reset: false`` of all batches so far. Of equal scores the
    last class is the prediction. A class that neither occurs nor is predicted counts 1 in the third mean.
    ``metric`` does not matter, as in the forks.

    Bottoms: x (N, C, H, W), scores; label (N, 1, H, W), class numbers.
    Tops:    y (1, 1, 1, 3), the three numbers; 0 and 0 and 1 of nothing.
    Gradient: none.
    Raises:  ShapeError if labels do not lie on the scores; DataError for a label that is neither a class nor an
             ``ignore_label``, of which there may be any number.
    Source:  seg_accuracy_layer.cpp and confusion_matrix.cpp of DeepLab and PSPNet.
    Example: x [[[[3.0, 1.0]], [[2.0, 2.0]]]], label [[[[0, 0]]]]
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "label")
    message: ClassVar[str] = "seg_accuracy_param"
    unforced: ClassVar[tuple[str, ...]] = ("x", "label")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, label = shapes
        if len(x) != 4 or not x[1] or label != (x[0], 1, *x[2:]):
            raise self.shape_error("x (N, C, H, W) and label (N, 1, H, W)", f"x={x}, label={label}")
        return [(1, 1, 1, 3)]

    def forward(self, xp: Any, x: Any, label: Any, y: Any) -> None:
        counts = self._confusion(xp, x, label)
        if not self.p.reset:
            counts = self.session["counts"] = counts + self.session.get("counts", 0)
        hits, actual, predicted = xp.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
        union = actual + predicted - hits
        y[0, 0, 0, 0] = hits.sum() / max(1, int(actual.sum()))
        y[0, 0, 0, 1] = (hits / xp.maximum(actual, 1)).sum() / max(1, int((actual > 0).sum()))
        y[0, 0, 0, 2] = xp.where(union > 0, hits / xp.maximum(union, 1), 1).mean()

    def _confusion(self, xp: Any, x: Any, label: Any) -> Any:
        """How often each class (row) was taken for each (column). Raises DataError."""
        classes = x.shape[1]
        truth = label.reshape(-1).astype("int64")
        keep = ~xp.isin(truth, xp.asarray(list(self.p.ignore_label), "int64"))
        bad = keep & ((truth < 0) | (truth >= classes))
        if bad.any():
            at = int(bad.argmax())
            expected = f"expected labels from 0 to {classes - 1} ({classes} classes) or an ignore_label"
            got = f"{float(label.reshape(-1)[at]):g} at index {at}"
            raise DataError(layer_message(self.name, self.type, self.location(), expected, got))
        found = (classes - 1 - x[:, ::-1].argmax(axis=1)).reshape(-1)
        pairs = truth[keep] * classes + found[keep]
        return xp.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
