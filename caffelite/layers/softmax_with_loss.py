"""SoftmaxWithLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._loss import Labels, Normalizer, check_labels
from caffelite.layers.base import Layer
from caffelite.layers.softmax import softmax
from caffelite.types import Shape, count

_SMALLEST = 1.1754943508222875e-38  # FLT_MIN: caps the loss of one label at 87.3365, as Caffe does


class SoftmaxWithLoss(Layer):
    """Cross entropy of the softmax of x: y = -sum of log p[label] / Z.

    Z is set by ``loss_param``: VALID (default) the labels that are not ``ignore_label``, FULL all labels,
    BATCH_SIZE the axes before ``softmax_param.axis``, NONE 1. Fractional labels are cut to integers.

    Bottoms: x, scores with classes along ``softmax_param.axis`` (1); label, one class number for each place:
             (N,) for x (N, C), (N, 1, H, W) for x (N, C, H, W).
    Tops:    y (), prob as x: the softmax, without a gradient (BVLC Caffe cannot build this second top).
    Gradient: (p - 1 at the label) / Z to x, 0 where ignored; none to label.
    Raises:  DataError for a label that is no class; ShapeError for a wrong number of labels.
    Source:  BVLC Caffe, softmax_loss_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "label")
    tops: ClassVar[tuple[str, ...]] = ("y", "prob?")
    message: ClassVar[str] = "loss_param"
    loss: ClassVar[bool] = True
    unforced: ClassVar[tuple[str, ...]] = ("label",)

    def setup(self) -> None:
        self.normalizer = Normalizer(self, default="VALID")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, label = shapes
        self.over = self.axis(self.spec.softmax_param.axis, len(x))
        check_labels(self, x, label, self.over)
        self.save("p", x)
        return [(), x]

    def forward(self, xp: Any, x: Any, label: Any, y: Any, prob: Any, p: Any) -> None:
        labels = self._labels(xp, label, x.shape)
        softmax(xp, x, self.over, p)
        picked = xp.log(xp.maximum(xp.take_along_axis(p, labels.index, self.over), _SMALLEST))
        if labels.keep is not None:
            picked *= labels.keep
        y[...] = -picked.sum() / self._divisor(labels, x.shape)
        if prob is not None:
            prob[...] = p

    def backward(self, xp: Any, label: Any, p: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        labels = self._labels(xp, label, dx.shape)
        xp.subtract(p, labels.one_hot(xp, dx.shape, self.over), out=dx)
        if labels.keep is not None:
            dx *= labels.keep
        dx *= float(dy) / self._divisor(labels, dx.shape)

    def _labels(self, xp: Any, label: Any, shape: Shape) -> Labels:
        return Labels(self, xp, label, shape, self.over, self.normalizer.ignore)

    def _divisor(self, labels: Labels, shape: Shape) -> float:
        return self.normalizer.divisor(count(shape, 0, self.over), labels.index.size, labels.valid)
