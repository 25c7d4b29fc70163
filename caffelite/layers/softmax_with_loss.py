"""SoftmaxWithLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._loss import ClassWeights, Labels, Normalizer, check_labels, check_weights, spread
from caffelite.layers.base import Layer
from caffelite.layers.softmax import softmax
from caffelite.types import Shape, count

_SMALLEST = 1.1754943508222875e-38  # FLT_MIN: caps the loss of one label at 87.3365, as Caffe does


class SoftmaxWithLoss(Layer):
    """Cross entropy of the softmax of x: y = -sum of w log p[label] / Z.

    Z is set by ``loss_param``: VALID (default) the labels that are not ``ignore_label``, FULL all labels,
    BATCH_SIZE the axes before ``softmax_param.axis``, NONE 1. Fractional labels are cut to integers.

    The weight w is 1 if nothing else is said. ``class_weighting``, once for each class, and the bottom ``weight``
    set it; both together multiply. Z counts labels whatever they weigh, so the loss grows with the weights, and a
    label of weight 0 still counts: to leave it out of Z as well, it must be ``ignore_label``.

    Bottoms: x, scores with classes along ``softmax_param.axis`` (1); label, one class number for each place:
             (N,) for x (N, C), (N, 1, H, W) for x (N, C, H, W); weight, if any, one number for each label or for
             each item.
    Tops:    y (), prob as x: the softmax, without a gradient (BVLC Caffe cannot build this second top).
    Gradient: w (p - 1 at the label) / Z to x, 0 where ignored; none to label and weight.
    Raises:  DataError for a label that is no class; ShapeError for a wrong number of labels or weights; NetError
             unless there are as many class weights as classes.
    Example: x [[1, 2, 3], [0, 0, 0]], label [2, 0]
    Source:  BVLC Caffe, softmax_loss_layer.cpp; SegNet's fork for class weights.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "label", "weight?")
    tops: ClassVar[tuple[str, ...]] = ("y", "prob?")
    message: ClassVar[str] = "loss_param"
    loss: ClassVar[bool] = True
    unforced: ClassVar[tuple[str, ...]] = ("label", "weight")
    extensions: ClassVar[tuple[str, ...]] = ("class_weighting", "weight_by_label_freqs")

    def setup(self) -> None:
        self.normalizer = Normalizer(self, default="VALID")
        self.class_weights = ClassWeights(self)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, label, *weight = shapes
        self.over = self.axis(self.spec.softmax_param.axis, len(x))
        check_labels(self, x, label, self.over)
        self.class_weights.check(self, x[self.over])
        if weight:
            items = x[0] if self.over else 1
            check_weights(self, weight[0], items, count(label), "labels")
        self.save("p", x)
        return [(), x]

    def forward(self, xp: Any, x: Any, label: Any, weight: Any, y: Any, prob: Any, p: Any) -> None:
        labels = self._labels(xp, label, x.shape)
        y[...] = self._losses(xp, x, labels, weight, p).sum() / self._divisor(labels, x.shape)
        if prob is not None:
            prob[...] = p

    def backward(self, xp: Any, label: Any, weight: Any, p: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        labels = self._labels(xp, label, dx.shape)
        xp.subtract(p, labels.one_hot(xp, dx.shape, self.over), out=dx)
        for factor in self._factors(xp, labels, weight, p.dtype):
            dx *= factor
        dx *= float(dy) / self._divisor(labels, dx.shape)

    def _losses(self, xp: Any, x: Any, labels: Labels, weight: Any, p: Any) -> Any:
        """The loss of each label, of the shape of ``labels.index``; writes p."""
        softmax(xp, x, self.over, p)
        losses = -xp.log(xp.maximum(xp.take_along_axis(p, labels.index, self.over), _SMALLEST))
        for factor in self._factors(xp, labels, weight, p.dtype):
            losses *= factor
        return losses

    def _factors(self, xp: Any, labels: Labels, weight: Any, dtype: Any) -> list[Any]:
        """What the loss of each label is multiplied with, in arrays that broadcast to the shape of ``labels.index``."""
        given = None if weight is None else spread(weight, labels.index.shape)
        factors = (labels.keep, self.class_weights.of(xp, labels, dtype), given)
        return [factor for factor in factors if factor is not None]

    def _labels(self, xp: Any, label: Any, shape: Shape) -> Labels:
        return Labels(self, xp, label, shape, self.over, self.normalizer.ignore)

    def _divisor(self, labels: Labels, shape: Shape) -> float:
        return self.normalizer.divisor(count(shape, 0, self.over), labels.index.size, labels.valid)
