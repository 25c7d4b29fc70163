"""ContrastiveLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._loss import check_items
from caffelite.layers.base import Layer
from caffelite.types import Shape, count

_EPSILON = 1e-4  # Caffe adds it to the distance that it divides by


class ContrastiveLoss(Layer):
    """Draws similar pairs together and pushes others apart until their distance d is ``margin`` (1).

    y = sum of (d^2 for similar pairs, max(0, margin - d)^2 for others) / (2 N). ``legacy_version: true`` takes
    max(0, margin - d^2) for the others.

    Bottoms: x (N, *S), other (N, *S') with as many elements an item; similar, one number an item: 0 for pairs
             that are not (cut to an integer, so 0.9 as well).
    Tops:    y ().
    Gradient: to x and other, as in Caffe: of max(0, margin - d)^2 it is divided by d + 1e-4 where the derivative
             has d, so it is 0 for equal items and slightly short elsewhere. 0 at the margin; none to similar.
    Raises:  ShapeError if the bottoms do not fit together.
    Example: x [[1, 0], [0, 0]], other [[1, 1], [3, 4]], similar [1, 0]; contrastive_loss_param { margin: 6 }
    Source:  BVLC Caffe, contrastive_loss_layer.cpp. Hadsell, Chopra and LeCun, "Dimensionality reduction by
             learning an invariant mapping", 2006.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "other", "similar")
    message: ClassVar[str] = "contrastive_loss_param"
    loss: ClassVar[bool] = True
    unforced: ClassVar[tuple[str, ...]] = ("similar",)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, other, similar = shapes
        check_items(self, x, other, "other")
        if count(similar) != x[0]:
            raise self.shape_error(f"one number for each of {x[0]} pairs", f"similar={similar}")
        self.items = x[0]
        return [()]

    def forward(self, xp: Any, x: Any, other: Any, similar: Any, y: Any) -> None:
        _, square, alike = self._pairs(xp, x, other, similar)
        room = self.p.margin - (square if self.p.legacy_version else xp.sqrt(square))
        apart = xp.maximum(room, 0)
        losses = xp.where(alike, square, apart if self.p.legacy_version else apart * apart)
        y[...] = losses.sum() / (2 * max(1, self.items))

    def backward(self, xp: Any, x: Any, other: Any, similar: Any, dy: Any, dx: Any, dother: Any) -> None:
        difference, square, alike = self._pairs(xp, x, other, similar)
        slope = xp.where(alike, 1, self._slope_apart(xp, square)) * (float(dy) / max(1, self.items))
        gradient = difference * slope[:, None]
        if dx is not None:
            dx[...] = gradient.reshape(dx.shape)
        if dother is not None:
            dother[...] = -gradient.reshape(dother.shape)

    def _slope_apart(self, xp: Any, square: Any) -> Any:
        """What the difference of a pair that is not similar is multiplied with."""
        if self.p.legacy_version:
            return xp.where(square < self.p.margin, -1, 0).astype(square.dtype)
        distance = xp.sqrt(square)
        return -xp.maximum(self.p.margin - distance, 0) / (distance + _EPSILON)

    def _pairs(self, xp: Any, x: Any, other: Any, similar: Any) -> tuple[Any, Any, Any]:
        """Of each pair: the difference (N, count(S)), its squared length (N,), and whether it is similar (N,)."""
        items = (self.items, count(x.shape, 1))
        difference = x.reshape(items) - other.reshape(items)
        alike = xp.trunc(similar.reshape(self.items)) != 0
        return difference, (difference * difference).sum(axis=1), alike
