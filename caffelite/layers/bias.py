"""Bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._affine import along, operand_axis, param_shape, sum_to
from caffelite.layers.base import Layer
from caffelite.types import Shape


class Bias(Layer):
    """y = x + b, with b stretched along the other axes of x.

    With one bottom b is learned: it has the shape of ``num_axes`` (1; -1: all) axes of x from ``axis`` (1)
    on. With two bottoms the second is added, lying from ``axis`` on; a 0-D one is added everywhere.

    Bottoms: x, any shape; bias, a part of x's shape.
    Tops:    y, as x.
    Params:  b (one bottom; 0 without a filler).
    Raises:  NetError for bad axes; ShapeError if bias does not lie along x.
    Example: x (2, 3, 4, 4); bias_param { filler { type: "constant" value: 1 } }
    Source:  BVLC Caffe, bias_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "bias?")
    message: ClassVar[str] = "bias_param"
    inplace: ClassVar[bool] = True

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if len(shapes) > 1:
            self.start = operand_axis(self, x, shapes[1], "bias")
            self.no_param("b")
        else:
            self.start, shape = param_shape(self, x)
            self.param("b", shape, self.filler())
        return [x]

    def forward(self, xp: Any, x: Any, bias: Any, y: Any, b: Any) -> None:
        xp.add(x, along(b if bias is None else bias, self.start, x.ndim), out=y)

    def backward(self, xp: Any, dy: Any, dx: Any, dbias: Any, db: Any) -> None:
        if db is not None:
            db += sum_to(db, dy, self.start)
        if dbias is not None:
            dbias[...] = sum_to(dbias, dy, self.start)
        if dx is not None:
            dx[...] = dy
