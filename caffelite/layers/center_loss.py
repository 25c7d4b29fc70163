"""CenterLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._loss import Labels
from caffelite.layers.base import Layer
from caffelite.types import Shape, count


class CenterLoss(Layer):
    """y = half the squared distance of each item to the centre of its class, summed, / N.

    Bottoms: x (*N, *K), split at ``axis`` (1); label, one class number below ``num_output`` for each item of the first axis.
    Tops:    y ().
    Params:  W (num_output, K), the centres.
    Gradient: (x - centre) / N to x. That of a centre is no derivative: its distance to the mean of its items, drawn to
             zero by one more item, whatever the weight of the loss; the learning rate is how far it moves.
    Raises:  NetError for a num_output below 1 and for a distance_type other than L2; ShapeError unless there is one label
             for each item; DataError for a label that is no class.
    Example: x [[1, 2], [3, 4]], label [0, 1]; center_loss_param { num_output: 2 }
    Source:  Wen et al., "A discriminative feature learning approach for deep face recognition", 2016: center_loss_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "label")
    message: ClassVar[str] = "center_loss_param"
    loss: ClassVar[bool] = True
    unforced: ClassVar[tuple[str, ...]] = ("label",)

    def setup(self) -> None:
        if self.p.num_output < 1:
            raise self.error("num_output >= 1", self.p.num_output, "one for each class", "num_output")
        if self.p.distance_type != "L2":
            raise self.error("distance_type L2", self.p.distance_type, field="distance_type")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, label = shapes
        axis = self.axis(self.p.axis, len(x))
        if count(x[:axis]) != x[0] or count(label) != x[0]:
            raise self.shape_error("one label for each item of x", f"x={x}, label={label}, axis {axis}")
        self.items = max(1, x[0])
        self.param("W", (self.p.num_output, count(x, axis)), self.filler("center_filler"))
        return [()]

    def forward(self, xp: Any, x: Any, label: Any, y: Any, W: Any) -> None:
        distance = self._distance(xp, x, label, W)
        y[...] = (distance * distance).sum() / (2 * self.items)

    def backward(self, xp: Any, x: Any, label: Any, W: Any, dy: Any, dx: Any, dW: Any) -> None:
        distance = self._distance(xp, x, label, W)
        if dx is not None:
            dx[...] = (distance * (float(dy) / self.items)).reshape(dx.shape)
        if dW is not None:
            member = (self._classes(xp, x, label) == xp.arange(len(W))[:, None]).astype(distance.dtype)
            dW -= (member @ distance) / (member.sum(axis=1, keepdims=True) + 1)

    def _distance(self, xp: Any, x: Any, label: Any, W: Any) -> Any:
        """Each item less its centre, (N, K)."""
        return x.reshape(len(x), W.shape[1]) - W[self._classes(xp, x, label)]

    def _classes(self, xp: Any, x: Any, label: Any) -> Any:
        return Labels(self, xp, label, (len(x), self.p.num_output), 1, None).index.reshape(-1)
