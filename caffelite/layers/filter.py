"""Filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape, count


class Filter(Layer):
    """The items of each x whose selector is not 0, in their order.

    How many there are shows in each pass, and may be 0.

    Bottoms: x (N, *S), any number of any S; selector (N,) or (N, 1, ...).
    Tops:    y (K, *S), one for each x. K is N before the first pass.
    Gradient: items that were left out have 0; none to selector.
    Raises:  ShapeError if a bottom has not N items, or selector more than one number an item.
    Example: x [[1, 2], [3, 4], [5, 6]], selector [1, 0, 1]
    Source:  BVLC Caffe, filter_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x*", "selector")
    tops: ClassVar[tuple[str, ...]] = ("y*",)
    unforced: ClassVar[tuple[str, ...]] = ("selector",)

    def setup(self) -> None:
        bottoms, tops = len(self.spec.bottom), len(self.spec.top)
        if tops != bottoms - 1:
            raise self.error(
                "one top for each bottom but the last, the selector", f"{bottoms} bottoms, {tops} tops"
            )

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        *inputs, selector = shapes
        if not selector or count(selector, 1) != 1:
            raise self.shape_error("selector (N,) or (N, 1, ...)", f"selector={selector}")
        for i, x in enumerate(inputs):
            if not x or x[0] != selector[0]:
                raise self.shape_error(
                    "as many items in each x as in selector", f"x[{i}]={x}, selector={selector}"
                )
        return list(inputs)

    def measure(self, xp: Any, x: Any, selector: Any) -> list[Shape]:
        self.session["kept"] = kept = xp.flatnonzero(selector)
        return [(len(kept), *xi.shape[1:]) for xi in x]

    def forward(self, xp: Any, x: Any, y: Any) -> None:
        for xi, yi in zip(x, y, strict=True):
            yi[...] = xi[self.session["kept"]]

    def backward(self, xp: Any, dy: Any, dx: Any) -> None:
        for dyi, dxi in zip(dy, dx, strict=True):
            if dxi is not None:
                dxi[...] = 0
                if dyi is not None:
                    dxi[self.session["kept"]] = dyi
