"""Silence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape


class Silence(Layer):
    """Reads its bottoms so that they are no outputs of the net.

    Bottoms: x, any number.
    Tops:    none.
    Gradient: none, which counts as zero.
    Example: x (2, 3)
    Source:  BVLC Caffe, silence_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x*",)
    tops: ClassVar[tuple[str, ...]] = ()

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        return []

    def forward(self, xp: Any) -> None:
        """Nothing."""
