"""Accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._loss import Labels, check_labels
from caffelite.layers.base import Layer
from caffelite.types import Shape


class Accuracy(Layer):
    """The share of labels among the ``top_k`` highest scores.

    Other classes with the same score as the label's rank before it: scores that are all equal are never
    right. Labels equal to ``ignore_label`` count neither way; with none left the accuracy is 0.

    Bottoms: x, scores with classes along ``axis`` (1); label, one class number for each place.
    Tops:    y (); by_class (C,), the accuracy among the labels of each class, 0 for a class without labels.
    Gradient: none.
    Raises:  DataError for a label that is no class; ShapeError for a wrong number of labels; NetError if
             top_k is not between 1 and the number of classes.
    Example: x [[1, 3, 2], [5, 4, 0]], label [1, 1]
    Source:  BVLC Caffe, accuracy_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "label")
    tops: ClassVar[tuple[str, ...]] = ("y", "by_class?")
    message: ClassVar[str] = "accuracy_param"

    def setup(self) -> None:
        self.ignore: int | None = self.p.ignore_label if self.p.HasField("ignore_label") else None

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, label = shapes
        self.over = self.axis(self.p.axis, len(x))
        check_labels(self, x, label, self.over)
        if not 1 <= self.p.top_k <= x[self.over]:
            raise self.error(
                f"top_k from 1 to {x[self.over]}, the number of classes", self.p.top_k, field="top_k"
            )
        return [(), (x[self.over],)]

    def forward(self, xp: Any, x: Any, label: Any, y: Any, by_class: Any) -> None:
        labels = Labels(self, xp, label, x.shape, self.over, self.ignore)
        score = xp.take_along_axis(x, labels.index, self.over)
        rank = (x >= score).sum(axis=self.over, keepdims=True) - 1  # others at or above the label's score
        right = rank < self.p.top_k
        if labels.keep is not None:
            right &= labels.keep
        y[...] = right.sum() / max(1, int(labels.valid))
        if by_class is not None:
            self._count_by_class(xp, labels, right, by_class)

    def _count_by_class(self, xp: Any, labels: Labels, right: Any, by_class: Any) -> None:
        keep = xp.ones_like(right) if labels.keep is None else labels.keep
        classes = len(by_class)
        total = xp.bincount(labels.index[keep], minlength=classes)
        by_class[...] = xp.bincount(labels.index[right], minlength=classes) / xp.maximum(total, 1)
