"""How many objects proposals find, at how many boxes, how closely.

Objects and boxes are paired one to one: the pair that overlaps most of all is taken first, then of the rest, as
py-faster-rcnn's eval_recall does. Difficult objects are left out. Average recall (AR) is the mean over the overlaps .5,
.55 ... .95. On large objects even random boxes find most at 1000: look at 10 and 100, or at AR.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffelite.atomic import atomic_write
from caffelite.boxes.boxes import overlaps
from caffelite.detection.dataset import DetectionSet
from caffelite.detection.proposals.tidy import Boxes
from caffelite.errors import DataError

LIMITS = (10, 100, 1000, 2000)
_AT = (0.5, 0.7)
_AR = np.arange(0.5, 0.95 + 1e-5, 0.05)
_DPI = 110


@dataclass(frozen=True, eq=False)
class Recall:
    """``found``: for each limit the overlap of every object with its box, float64 (objects,), 0 if it has none.

    ``boxes``: how many proposals a picture has, in the mean.
    """

    limits: tuple[int, ...]
    found: tuple[np.ndarray, ...]
    boxes: float

    def at(self, iou: float) -> list[float]:
        """Share of the objects that are found with at least this overlap, for each limit; NaN without objects."""
        return [float(np.mean(found >= iou)) if len(found) else float("nan") for found in self.found]

    @property
    def ar(self) -> list[float]:
        """Average recall, for each limit."""
        return [float(ar) for ar in np.mean([self.at(iou) for iou in _AR], axis=0)]

    def text(self) -> str:
        """A table: a line for each limit."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{len(self.found[0])} objects, {self.boxes:.0f} boxes a picture"
        yield " boxes  recall IoU .5  recall IoU .7     AR"
        for limit, low, high, ar in zip(self.limits, self.at(_AT[0]), self.at(_AT[1]), self.ar, strict=True):
            yield f"{limit:6d}{low:15.3f}{high:15.3f}{ar:7.3f}"

    def draw(self, path: Path) -> None:
        """Recall over overlap, a line for each limit, as PNG.

        Raises:
            DataError: matplotlib is not installed.
            SnapshotError: the file cannot be written.
        """
        require_charts()
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 5), layout="constrained")
        axes = figure.subplots()
        at = np.linspace(0.5, 1, 51)
        for limit, found, ar in zip(self.limits, self.found, self.ar, strict=True):
            axes.plot(
                at,
                [np.mean(found >= iou) if len(found) else 0 for iou in at],
                label=f"{limit} boxes, AR {ar:.3f}",
            )
        axes.set(xlabel="IoU", ylabel="recall", xlim=(0.5, 1), ylim=(0, 1))
        axes.grid(alpha=0.3)
        axes.legend()
        with atomic_write(path) as file:
            figure.savefig(file, format="png", dpi=_DPI)


def recall_of(
    dataset: DetectionSet, proposals: Mapping[str, Boxes], limits: Sequence[int] = LIMITS
) -> Recall:
    """Recall of proposals, best first, in the pictures of a set.

    Raises:
        DataError: a picture has no entry among the proposals (one without boxes will do).
    """
    missing = [picture.key for picture in dataset.pictures if picture.key not in proposals]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(dataset)} pictures of '{dataset.name}' have no proposals, such as '{missing[0]}'"
        )
    found: list[list[np.ndarray]] = [[np.empty(0)] for _ in limits]
    for picture in dataset.pictures:
        table = overlaps(picture.boxes[~picture.difficult], proposals[picture.key][0])
        for part, limit in zip(found, limits, strict=True):
            part.append(_paired(table[:, :limit]))
    mean = np.mean([len(proposals[picture.key][0]) for picture in dataset.pictures]) if len(dataset) else 0
    return Recall(tuple(limits), tuple(np.concatenate(part) for part in found), float(mean))


def _paired(table: np.ndarray) -> np.ndarray:
    """Overlaps of objects (G,) with the boxes that they are given, from those with all boxes (G, K)."""
    table, got = table.copy(), np.zeros(len(table))
    while table.size and table.max() > 0:
        g, k = np.unravel_index(table.argmax(), table.shape)
        got[g] = table[g, k]
        table[g], table[:, k] = 0, 0
    return got


def require_charts() -> None:
    """Raises DataError unless matplotlib is installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise DataError(f"charts need matplotlib: {error}\n  Fix: pip install 'caffelite[plot]'") from error
