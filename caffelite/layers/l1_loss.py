"""L1Loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._loss import check_items
from caffelite.layers.base import Layer
from caffelite.types import Shape


class L1Loss(Layer):
    """y = sum of |x - target| / N, NVCaffe's loss of DetectNet. FlowNet2's layer of this name is another.

    Bottoms: x (N, *S); target (N, *S') with as many elements an item.
    Tops:    y ().
    Gradient: to both bottoms; 0 where they are equal.
    Raises:  ShapeError if the numbers of items or of elements an item differ; NetError for FlowNet2's parameters.
    Source:  l1_loss_layer.cpp of NVCaffe.
    Example: x [[1.0, 2.0]], target [[0.0, 4.0]]
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "target")
    loss: ClassVar[bool] = True

    def setup(self) -> None:
        if self.spec.HasField("l1_loss_param"):
            raise self.error(
                "no l1_loss_param", "one", "FlowNet2's L1Loss is not there; this is NVCaffe's, which has no parameters",
                "l1_loss_param",
            )  # fmt: skip

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, target = shapes
        check_items(self, x, target, "target")
        self.items = max(1, x[0])
        return [()]

    def forward(self, xp: Any, x: Any, target: Any, y: Any) -> None:
        y[...] = xp.abs(x - target.reshape(x.shape)).sum() / self.items

    def backward(self, xp: Any, x: Any, target: Any, dy: Any, dx: Any, dtarget: Any) -> None:
        gradient = xp.sign(x - target.reshape(x.shape)) * (float(dy) / self.items)
        if dx is not None:
            dx[...] = gradient
        if dtarget is not None:
            dtarget[...] = -gradient.reshape(dtarget.shape)
