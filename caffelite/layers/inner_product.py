"""InnerProduct."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape, count


class InnerProduct(Layer):
    """Fully connected: y = x W^T + b, each item flattened from ``axis`` on in C order.

    Bottoms: x (*N, *S), seen as (N, K); N are the axes before ``axis``.
    Tops:    y (*N, M), M = num_output.
    Params:  W (M, K), or (K, M) with ``transpose: true``; b (M,) unless ``bias_term: false``.
    Raises:  NetError if num_output is missing or axis out of range; ShapeError if there is nothing to weigh.
    Example: x (2, 3, 4, 4); inner_product_param { num_output: 10 weight_filler { type: "xavier" } }
    Source:  BVLC Caffe, inner_product_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x",)
    tops: ClassVar[tuple[str, ...]] = ("y",)
    message: ClassVar[str] = "inner_product_param"

    def setup(self) -> None:
        if self.p.num_output < 1:
            raise self.error(
                "num_output >= 1", self.p.num_output, "set inner_product_param.num_output", "num_output"
            )

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, outputs = shapes[0], self.p.num_output
        axis = self.axis(self.p.axis, len(x))
        self.rows, self.inputs = count(x, 0, axis), count(x, axis)
        if self.inputs < 1:
            raise self.shape_error(f"at least 1 element from axis {axis} on", f"x={x}")
        shape = (self.inputs, outputs) if self.p.transpose else (outputs, self.inputs)
        self.param("W", shape, self.filler("weight_filler"))
        if self.p.bias_term:
            self.param("b", (outputs,), self.filler("bias_filler"))
        else:
            self.no_param("b")
        return [(*x[:axis], outputs)]

    def forward(self, xp: Any, x: Any, y: Any, W: Any, b: Any) -> None:
        y[...] = xp.matmul(x.reshape(self.rows, self.inputs), W if self.p.transpose else W.T).reshape(y.shape)
        if b is not None:
            y += b

    def backward(self, xp: Any, x: Any, W: Any, dy: Any, dx: Any, dW: Any, db: Any) -> None:
        dy = dy.reshape(self.rows, self.p.num_output)
        if dx is not None:
            dx[...] = xp.matmul(dy, W.T if self.p.transpose else W).reshape(dx.shape)
        if dW is not None:
            x = x.reshape(self.rows, self.inputs)
            dW += xp.matmul(x.T, dy) if self.p.transpose else xp.matmul(dy.T, x)
        if db is not None:
            db += dy.sum(axis=0)

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return count(bottoms[0]) * tops[0][-1]
