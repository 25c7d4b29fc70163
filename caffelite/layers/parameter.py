"""Parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._shapes import read_shape
from caffelite.layers.base import Layer
from caffelite.types import Shape


class Parameter(Layer):
    """A learned blob for other layers to read: y = W.

    Tops:    y, of ``shape``; () without one.
    Params:  W, as y; 0 without a ``blob_filler`` (happynear's; BVLC Caffe has none).
    Gradient: to W, added up over passes as for any other parameter.
    Raises:  NetError for a size below 1 or a filler that cannot fill the shape.
    Example: parameter_param { shape { dim: 2 dim: 3 } }
    Source:  BVLC Caffe, parameter_layer.hpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ()
    message: ClassVar[str] = "parameter_param"
    extensions: ClassVar[tuple[str, ...]] = ("blob_filler",)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        shape = read_shape(self, self.p.shape, "shape")
        self.param("W", shape, self.filler("blob_filler"))
        return [shape]

    def forward(self, xp: Any, y: Any, W: Any) -> None:
        y[...] = W

    def backward(self, xp: Any, dy: Any, dW: Any) -> None:
        if dW is not None:
            dW += dy
