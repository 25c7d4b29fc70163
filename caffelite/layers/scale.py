"""Scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._affine import along, operand_axis, param_shape, sum_to
from caffelite.layers.base import Layer
from caffelite.types import Shape


class Scale(Layer):
    """y = x * scale + b, with scale and b stretched along the other axes of x.

    With one bottom the scale is learned: W has the shape of ``num_axes`` (1; -1: all) axes of x from ``axis``
    (1) on. With two bottoms the second is the scale, lying from ``axis`` on; a 0-D one scales everything.

    Bottoms: x, any shape; scale, a part of x's shape.
    Tops:    y, as x.
    Params:  W (one bottom; 1 without a filler), b of the same shape with ``bias_term: true`` (0).
    Raises:  NetError for bad axes; ShapeError if scale does not lie along x.
    Example: x (1, 3, 4, 4); scale_param { bias_term: true }
    Source:  BVLC Caffe, scale_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "scale?")
    message: ClassVar[str] = "scale_param"
    inplace: ClassVar[bool] = True

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x = shapes[0]
        if len(shapes) > 1:
            shape, self.start = shapes[1], operand_axis(self, x, shapes[1], "scale")
            self.no_param("W")
        else:
            self.start, shape = param_shape(self, x)
            self.param("W", shape, self.filler(), value=1.0)
        if self.p.bias_term:
            self.param("b", shape, self.filler("bias_filler"))
        else:
            self.no_param("b")
        return [x]

    def forward(self, xp: Any, x: Any, scale: Any, y: Any, W: Any, b: Any) -> None:
        xp.multiply(x, along(W if scale is None else scale, self.start, x.ndim), out=y)
        if b is not None:
            y += along(b, self.start, x.ndim)

    def backward(
        self, xp: Any, x: Any, scale: Any, W: Any, dy: Any, dx: Any, dscale: Any, dW: Any, db: Any
    ) -> None:
        if dW is not None:
            dW += sum_to(dW, dy * x, self.start)
        if dscale is not None:
            dscale[...] = sum_to(dscale, dy * x, self.start)
        if db is not None:
            db += sum_to(db, dy, self.start)
        if dx is not None:
            xp.multiply(dy, along(W if scale is None else scale, self.start, dy.ndim), out=dx)
