"""Input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._shapes import one_for_each, read_shape
from caffelite.layers.base import Layer
from caffelite.types import Shape


class Input(Layer):
    """Arrays that the user fills: ``net.blobs["data"].data[...] = images``.

    Tops:   y, any number; shape i of ``input_param`` gives top i, a single shape all of them. Without a shape
            a top is empty until it is reshaped.
    Raises: NetError for a wrong number of shapes or a size below 1.
    Example: input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } }
    Source: BVLC Caffe, input_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ()
    tops: ClassVar[tuple[str, ...]] = ("y*",)
    message: ClassVar[str] = "input_param"
    source: ClassVar[bool] = True

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        tops = len(self.spec.top)
        given = [read_shape(self, shape, "shape") for shape in self.p.shape]
        return one_for_each(self, given, "shape", tops) if given else [(0,)] * tops

    def _refuse_forks(self) -> None:
        """What a data layer of a fork had before its type became Input does not matter."""

    def forward(self, xp: Any, y: Any) -> None:
        """Nothing: what the user wrote stays."""
