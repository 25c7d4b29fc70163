"""Embed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.errors import DataError, layer_message
from caffelite.layers.base import Layer
from caffelite.types import Shape, count


class Embed(Layer):
    """A row of W for each index: y[...] = W[x[...]] + b.

    Bottoms: x, any shape, indices from 0 to input_dim - 1 (cut to integers).
    Tops:    y (*shape of x, num_output).
    Params:  W (input_dim, num_output), b (num_output,) unless ``bias_term: false``.
    Gradient: to the rows that were used; none to x.
    Raises:  DataError for an index out of range; NetError unless num_output and input_dim are positive.
    Example: x [[0, 2]]; embed_param { num_output: 4 input_dim: 3 weight_filler { type: "uniform" } }
    Source:  BVLC Caffe, embed_layer.cpp.
    """

    message: ClassVar[str] = "embed_param"
    unforced: ClassVar[tuple[str, ...]] = ("x",)

    def setup(self) -> None:
        for field in ("num_output", "input_dim"):
            if getattr(self.p, field) < 1:
                raise self.error(f"{field} >= 1", getattr(self.p, field), f"set embed_param.{field}", field)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        self.param("W", (self.p.input_dim, self.p.num_output), self.filler("weight_filler"))
        if self.p.bias_term:
            self.param("b", (self.p.num_output,), self.filler("bias_filler"))
        else:
            self.no_param("b")
        return [(*shapes[0], self.p.num_output)]

    def forward(self, xp: Any, x: Any, y: Any, W: Any, b: Any) -> None:
        y[...] = W[self._rows(xp, x)].reshape(y.shape)
        if b is not None:
            y += b

    def backward(self, xp: Any, x: Any, dy: Any, dW: Any, db: Any) -> None:
        dy = dy.reshape(count(x.shape), self.p.num_output)
        if dW is not None:
            xp.add.at(dW, self._rows(xp, x), dy)
        if db is not None:
            db += dy.sum(axis=0)

    def _rows(self, xp: Any, x: Any) -> Any:
        values = xp.trunc(x.reshape(count(x.shape)))
        bad = ~((values >= 0) & (values < self.p.input_dim))
        if bad.any():
            index = int(bad.argmax())
            expected = f"expected indices from 0 to {self.p.input_dim - 1} (input_dim {self.p.input_dim})"
            got = f"{float(values[index]):g} at index {index}"
            raise DataError(layer_message(self.name, self.type, self.location(), expected, got))
        return values.astype("int64")
