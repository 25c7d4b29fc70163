"""BatchReindex."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.errors import DataError, layer_message
from caffelite.layers.base import Layer
from caffelite.types import Shape


class BatchReindex(Layer):
    """Items of x in another order, left out or repeated: y[i] = x[index[i]].

    Fractional indices are cut to integers.

    Bottoms: x (N, *S); index (M,), numbers from 0 to N - 1.
    Tops:    y (M, *S).
    Gradient: to an item of x the sum over its uses, 0 without any; none to index.
    Raises:  DataError for an index outside x; ShapeError if index has not one axis or x none.
    Example: x [[1, 2], [3, 4]], index [1, 1, 0]
    Source:  BVLC Caffe, batch_reindex_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "index")
    unforced: ClassVar[tuple[str, ...]] = ("index",)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, index = shapes
        if not x or len(index) != 1:
            raise self.shape_error("x (N, *S) and index (M,)", f"x={x}, index={index}")
        self.items = x[0]
        return [(*index, *x[1:])]

    def forward(self, xp: Any, x: Any, index: Any, y: Any) -> None:
        y[...] = x[self._rows(index)]

    def backward(self, xp: Any, index: Any, dy: Any, dx: Any) -> None:
        if dx is not None:
            dx[...] = 0
            xp.add.at(dx, self._rows(index), dy)

    def _rows(self, index: Any) -> Any:
        bad = ~((index >= 0) & (index < self.items))
        if bad.any():
            first = int(bad.argmax())
            expected = f"expected indices from 0 to {self.items - 1} (x has {self.items} items)"
            got = f"{float(index[first]):g} at index {first}"
            raise DataError(layer_message(self.name, self.type, self.location(), expected, got))
        return index.astype("int64")
