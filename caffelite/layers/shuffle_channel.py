"""ShuffleChannel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape


class ShuffleChannel(Layer):
    """Deals the channels of ``group`` groups out in turn: y[:, j * group + i] = x[:, i * (C / group) + j].

    Bottoms: x (N, C, *S).
    Tops:    y, as x.
    Raises:  ShapeError if C is no multiple of group.
    Source:  shuffle_channel_layer.cpp (farmingyard). Zhang et al., "ShuffleNet", 2017.
    Example: x (1, 6, 2, 2); shuffle_channel_param { group: 3 }
    """

    message: ClassVar[str] = "shuffle_channel_param"

    def setup(self) -> None:
        if self.p.group < 1:
            raise self.error("group >= 1", self.p.group, field="group")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if len(x) < 2 or x[1] % self.p.group:
            raise self.shape_error(f"x (N, C, *S) with C in multiples of group {self.p.group}", f"x={x}")
        return [x]

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        group, each = self.p.group, x.shape[1] // self.p.group
        for i in range(group):
            y[:, i::group] = x[:, i * each : (i + 1) * each]

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            group, each = self.p.group, dx.shape[1] // self.p.group
            for i in range(group):
                dx[:, i * each : (i + 1) * each] = dy[:, i::group]
