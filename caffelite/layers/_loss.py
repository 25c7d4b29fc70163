"""What losses share: what they divide by, labels, and weights of classes, items and elements."""

from __future__ import annotations

from math import inf
from typing import Any

from caffelite.errors import DataError, layer_message
from caffelite.layers.base import Layer, enum_name
from caffelite.types import Shape, count

_MARKS = 255, -1  # what data sets of segmentation and detection write where there is no class
SMALLEST_PROBABILITY = 1e-20  # InfogainLoss and MultinomialLogisticLoss take no smaller one's logarithm


class Normalizer:
    """What a loss is divided by, from ``loss_param``: at least 1.

    FULL: all labels; VALID: those not ignored; BATCH_SIZE: items; NONE: 1. The older ``normalize`` means
    VALID if true and BATCH_SIZE if false, and counts only without ``normalization``. Layers with the extension
    ``pre_fixed_normalizer`` know PRE_FIXED as well: that number.
    """

    def __init__(self, layer: Layer, default: str):
        p = layer.spec.loss_param
        self.ignore: int | None = p.ignore_label if p.HasField("ignore_label") else None
        self.mode = default
        if p.HasField("normalization"):
            self.mode = enum_name(p, "normalization")
        elif p.HasField("normalize"):
            self.mode = "VALID" if p.normalize else "BATCH_SIZE"
        self.fixed: float = p.pre_fixed_normalizer
        *modes, last = ["FULL", "VALID", "BATCH_SIZE", "NONE"]
        if "pre_fixed_normalizer" in layer.extensions:
            modes, last = [*modes, last], "PRE_FIXED"
        if self.mode not in (*modes, last):
            raise layer.error(f"normalization {', '.join(modes)} or {last}", self.mode, field="normalization")

    def divisor(self, items: int, labels: int, valid: Any) -> float:
        """The divisor for a batch. ``valid``: how many labels are not ignored, a number or a scalar array."""
        if self.mode == "VALID":
            return max(1.0, float(valid))
        sizes = {"FULL": labels, "BATCH_SIZE": items, "NONE": 1, "PRE_FIXED": self.fixed}
        return float(max(1, sizes[self.mode]))


class Labels:
    """Integer labels of a batch, broadcast along the class axis of the scores they belong to.

    ``index`` (outer, 1, inner) holds class numbers, 0 where ignored; ``keep`` is False there, None if no
    label is ignored.
    """

    def __init__(self, layer: Layer, xp: Any, label: Any, shape: Shape, axis: int, ignore: int | None):
        classes = shape[axis]
        values = xp.trunc(label.reshape(*shape[:axis], 1, *shape[axis + 1 :]))  # Caffe casts to int
        self.keep = None if ignore is None else values != ignore
        bad = ~((values >= 0) & (values < classes))
        if self.keep is not None:
            bad &= self.keep
        if bad.any():
            raise _out_of_range(layer, label, bad.reshape(-1), shape, axis, ignore)
        self.index = (values if self.keep is None else xp.where(self.keep, values, 0)).astype("int64")

    @property
    def valid(self) -> Any:
        """How many labels are not ignored."""
        return self.index.size if self.keep is None else self.keep.sum()

    def one_hot(self, xp: Any, shape: Shape, axis: int) -> Any:
        """True at each label's class, of the scores' shape."""
        classes = xp.arange(shape[axis]).reshape(-1, *(1,) * (len(shape) - axis - 1))
        return classes == self.index


class ClassWeights:
    """Weights of classes, from ``loss_param``: what the loss of a label of each class is multiplied with.

    ``class_weighting`` names one a class. SegNet's prototxts say ``weight_by_label_freqs: true`` beside it;
    ``weight_by_label_freqs: false`` switches it off. ``true`` alone is SegNet's first form: 1 / how often the class
    occurs among the batch's labels.
    """

    def __init__(self, layer: Layer):
        p = layer.spec.loss_param
        off = p.HasField("weight_by_label_freqs") and not p.weight_by_label_freqs
        self.values = () if off else tuple(p.class_weighting)
        self.by_count = p.weight_by_label_freqs and not self.values
        for value in self.values:
            if not 0 <= value < inf:
                raise layer.error("class_weighting >= 0", f"{value:g}", field="class_weighting")

    def check(self, layer: Layer, classes: int) -> None:
        """Raises NetError unless there are as many weights as classes."""
        if self.values and len(self.values) != classes:
            raise layer.error(
                f"one class_weighting for each of {classes} classes",
                len(self.values),
                field="class_weighting",
            )

    def of(self, xp: Any, labels: Labels, dtype: Any) -> Any:
        """The weight of each label, shaped as ``labels.index``; None if all weigh 1."""
        if self.values:
            return xp.asarray(self.values, dtype)[labels.index]
        if not self.by_count:
            return None
        index = labels.index if labels.keep is None else labels.index[labels.keep]
        counts = xp.bincount(index.reshape(-1), minlength=1)
        return 1 / xp.maximum(counts, 1).astype(dtype)[labels.index]  # ignored labels have index 0


def check_weights(layer: Layer, weight: Shape, items: int, elements: int, what: str) -> None:
    """Raises ShapeError unless there is one weight for each of ``elements``, or for each of ``items``."""
    if count(weight) not in (items, elements):
        raise layer.shape_error(
            f"one weight for each of {elements} {what}, or for each of {items} items", f"weight={weight}"
        )


def spread(weight: Any, shape: Shape) -> Any:
    """Weights of the elements of ``shape`` in that shape; those of its items so that they broadcast to it."""
    if weight.size == count(shape):
        return weight.reshape(shape)
    return weight.reshape(shape[0], *(1,) * (len(shape) - 1))


def _out_of_range(layer: Layer, label: Any, bad: Any, x: Shape, axis: int, ignore: int | None) -> DataError:
    """``bad`` is True at the labels that are no class of ``x``; the message has the first and the largest."""
    classes, wrong = x[axis], label.reshape(-1)[bad]
    expected = f"labels from 0 to {classes - 1} ({classes} classes)"
    if ignore is not None:
        expected += f" or ignore_label {ignore}"
    got = f"{float(wrong[0]):g} at index {int(bad.argmax())}"
    if wrong.max() > wrong[0]:
        got += f"; the largest label of the batch is {float(wrong.max()):g}"
    fixes = [_ignore_fix(layer, wrong, ignore), _classes_fix(layer, wrong, x, axis)]
    return DataError(
        layer_message(
            layer.name, layer.type, layer.location(), f"expected {expected}", got,
            "; ".join(fix for fix in fixes if fix),
        )
    )  # fmt: skip


def _ignore_fix(layer: Layer, wrong: Any, ignore: int | None) -> str:
    param = "accuracy_param" if layer.message == "accuracy_param" else "loss_param"
    if ignore is not None or not (param == "accuracy_param" or hasattr(layer, "normalizer")):
        return ""
    found = [mark for mark in _MARKS if (wrong == mark).any()]
    return f"where {found[0]} means no class at all: {param} {{ ignore_label: {found[0]} }}" if found else ""


def _classes_fix(layer: Layer, wrong: Any, x: Shape, axis: int) -> str:
    large = wrong[(wrong >= x[axis]) & (wrong != _MARKS[0])]
    if not large.size:
        return ""
    if layer.spec.HasField("center_loss_param"):
        return f"center_loss_param {{ num_output: {large.max() + 1:g} }}"
    return (
        f"'{layer.spec.bottom[0]}' has {x[axis]} channels (axis {axis}) and needs one a class: the layer below should have "
        f"num_output of at least {large.max() + 1:g}, or the classes be numbered from 0"
    )


def check_labels(layer: Layer, x: Shape, label: Shape, axis: int) -> None:
    """Raises ShapeError unless there is one label for each item and place of the scores, and a class."""
    if not x[axis]:
        raise layer.shape_error(f"at least 1 class along axis {axis}", f"x={x}")
    expected = count(x[:axis]) * count(x[axis + 1 :])
    if count(label) != expected:
        raise layer.shape_error(
            f"one label for each of {expected} predictions (all axes of x but axis {axis})",
            f"x={x}, label={label}",
            "labels are class numbers, (N,) or (N, 1, H, W), not one-hot vectors",
        )


def check_items(layer: Layer, x: Shape, other: Shape, name: str) -> None:
    """Raises ShapeError unless two bottoms have as many items, and items of as many elements."""
    if not x or not other or x[0] != other[0] or count(x, 1) != count(other, 1):
        raise layer.shape_error(
            f"x and {name} with as many items of as many elements", f"x={x}, {name}={other}"
        )
