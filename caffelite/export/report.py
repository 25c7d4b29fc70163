"""What an export made, and how far it is from the net it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caffelite.export.proto import Dims
from caffelite.export.tensors import Array
from caffelite.types import Shape


@dataclass(frozen=True)
class Difference:
    """One output of the exported model beside the net's own.

    Attributes:
        output: its name.
        shape: its shape when they were compared.
        scale: the largest magnitude of the net's own numbers.
        absolute: the largest difference; infinite where shapes or NaNs differ.
        relative: ``absolute`` in units of ``scale``.
    """

    output: str
    shape: Shape
    scale: float
    absolute: float
    relative: float


def compare(output: str, own: Array, other: Array) -> Difference:
    """Compares the net's own array with the exported model's."""
    scale = float(np.abs(own[np.isfinite(own)]).max(initial=0))
    if own.shape != other.shape:
        return Difference(output, own.shape, scale, np.inf, np.inf)
    apart = ~((own == other) | (np.isnan(own) & np.isnan(other)))
    with np.errstate(invalid="ignore"):
        gaps = np.abs(own[apart].astype(np.float64) - other[apart])
    absolute = float(np.nan_to_num(gaps, nan=np.inf, posinf=np.inf).max(initial=0))
    return Difference(output, own.shape, scale, absolute, absolute / (scale or 1.0))


@dataclass
class Report:
    """An exported model. Print it for a table.

    Attributes:
        path: the model's file; ``files`` has the file of large weights as well.
        opset: version of the ONNX operators.
        operators: how many there are.
        inputs: names and sizes; a word is a size that may be any.
        outputs: likewise, in Caffe's order.
        notes: what was left out or changed.
        differences: one for each output and batch size compared; empty if nothing was checked.
        tolerance: the largest ``relative`` difference that passes.
        runtime: what ran the model.
    """

    path: Path
    files: list[Path]
    opset: int
    operators: int
    inputs: dict[str, Dims]
    outputs: dict[str, Dims]
    notes: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    tolerance: float = 1e-4
    runtime: str = ""

    @property
    def ok(self) -> bool:
        """Whether all that was compared agrees."""
        return all(difference.relative <= self.tolerance for difference in self.differences)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.path}: ONNX opset {self.opset}, {self.operators} operators"
        for what, tensors in (("input", self.inputs), ("output", self.outputs)):
            yield from (f"{what:<7} {name} ({_sizes(dims)})" for name, dims in tensors.items())
        yield from (f"note    {note}" for note in self.notes)
        yield ""
        yield from difference_lines(self.differences)
        yield self._verdict()

    def _verdict(self) -> str:
        if not self.differences:
            return "not checked"
        words = "agrees with" if self.ok else "DIFFERS from"
        return f"{words} the net in {self.runtime}: within {self.tolerance:g} of each output's scale"


def difference_lines(differences: Sequence[Difference]) -> Iterator[str]:
    """A table of differences; nothing for none."""
    if not differences:
        return
    rows = [("output", "shape", "scale", "largest difference", "relative")]
    rows += [
        (
            d.output,
            "x".join(map(str, d.shape)) or "1",
            f"{d.scale:.4g}",
            f"{d.absolute:.2e}",
            f"{d.relative:.2e}",
        )
        for d in differences
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _sizes(dims: Dims) -> str:
    return " x ".join("?" if dim is None else str(dim) for dim in dims) or "scalar"
