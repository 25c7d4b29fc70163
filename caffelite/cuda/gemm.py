"""Matrix products on the device: what is multiplied, whoever does it (cuBLASLt, or NumPy on an emulated device)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, eq=False)
class Matrix:
    """A float32 matrix in memory of the device: ``rows`` x ``cols``, a row every ``ld`` elements from ``offset`` on.

    ``transposed``: the product reads it as its transpose.
    """

    array: Any
    rows: int
    cols: int
    ld: int = 0  # 0: rows lie one behind the other
    offset: int = 0
    transposed: bool = False

    @property
    def T(self) -> Matrix:
        return replace(self, transposed=not self.transposed)

    @property
    def pitch(self) -> int:
        """Elements from one row to the next."""
        return self.ld or self.cols

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns as the product reads them."""
        return (self.cols, self.rows) if self.transposed else (self.rows, self.cols)


@dataclass(frozen=True, eq=False)
class Product:
    """c = a b, with ``add`` c += a b; then ``bias`` (from ``bias_offset`` on, one number a column) on every row."""

    a: Matrix
    b: Matrix
    c: Matrix
    add: bool = False
    bias: Any = None
    bias_offset: int = 0
