"""Layers whose top has the shape of their one bottom, each element computed from its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape


class Elementwise(Layer):
    """One bottom x, one top y of its shape; either pass may run in place."""

    inplace: ClassVar[bool] = True

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        return [shapes[0]]
