"""What losses share: what they divide by, and labels."""

from __future__ import annotations

from typing import Any

from caffelite.errors import DataError, layer_message
from caffelite.layers.base import Layer, enum_name
from caffelite.types import Shape, count

SMALLEST_PROBABILITY = 1e-20  # InfogainLoss and MultinomialLogisticLoss take no smaller one's logarithm


class Normalizer:
    """What a loss is divided by, from ``loss_param``: at least 1.

    FULL: all labels; VALID: those not ignored; BATCH_SIZE: items; NONE: 1. The older ``normalize`` means
    VALID if true and BATCH_SIZE if false, and counts only without ``normalization``.
    """

    def __init__(self, layer: Layer, default: str):
        p = layer.spec.loss_param
        self.ignore: int | None = p.ignore_label if p.HasField("ignore_label") else None
        self.mode = default
        if p.HasField("normalization"):
            self.mode = enum_name(p, "normalization")
        elif p.HasField("normalize"):
            self.mode = "VALID" if p.normalize else "BATCH_SIZE"
        if self.mode not in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
            raise layer.error(
                "normalization FULL, VALID, BATCH_SIZE or NONE", self.mode, field="normalization"
            )

    def divisor(self, items: int, labels: int, valid: Any) -> float:
        """The divisor for a batch. ``valid``: how many labels are not ignored, a number or a scalar array."""
        if self.mode == "VALID":
            return max(1.0, float(valid))
        return float(max(1, {"FULL": labels, "BATCH_SIZE": items, "NONE": 1}[self.mode]))


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
            raise _out_of_range(layer, label, int(bad.reshape(-1).argmax()), classes, ignore)
        self.index = (values if self.keep is None else xp.where(self.keep, values, 0)).astype("int64")

    @property
    def valid(self) -> Any:
        """How many labels are not ignored."""
        return self.index.size if self.keep is None else self.keep.sum()

    def one_hot(self, xp: Any, shape: Shape, axis: int) -> Any:
        """True at each label's class, of the scores' shape."""
        classes = xp.arange(shape[axis]).reshape(-1, *(1,) * (len(shape) - axis - 1))
        return classes == self.index


def _out_of_range(layer: Layer, label: Any, index: int, classes: int, ignore: int | None) -> DataError:
    value = float(label.reshape(-1)[index])
    expected = f"labels from 0 to {classes - 1} ({classes} classes)"
    if ignore is not None:
        expected += f" or ignore_label {ignore}"
    fix = f"the layer below should have num_output of at least {value + 1:g}" if value >= classes else ""
    got = f"{value:g} at index {index}"
    return DataError(
        layer_message(layer.name, layer.type, layer.location(), f"expected {expected}", got, fix)
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
