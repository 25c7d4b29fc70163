"""Charts of a report, as PNG: precision over recall of each class, and the confusion matrix. They need matplotlib."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from caffelite.detection.evaluation.report import Report

NO_CHARTS = "No charts: they need matplotlib (pip install 'caffelite[plot]')."

_log = logging.getLogger(__name__)
_DPI = 110
_SHOWN = 20  # classes with lines of their own
_NUMBERED = 25  # classes, up to which the matrix has its numbers


def charts(report: Report) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the charts; none without matplotlib, which is logged."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        _log.warning(NO_CHARTS)
        return
    yield "curves.png", _png(_curves(report, Figure(figsize=(8, 6), layout="constrained")))
    side = min(4 + 0.35 * len(report.classes), 20)
    yield "confusion.png", _png(_confusion(report, Figure(figsize=(side, side), layout="constrained")))


def _curves(report: Report, figure: Figure) -> Figure:
    axes = figure.subplots()
    with_objects = sorted((one for one in report.classes if one.curve.objects), key=lambda one: -one.curve.ap)
    for one in with_objects[:_SHOWN]:
        axes.plot(one.curve.recall, one.curve.precision, label=f"{one.name} {one.curve.ap:.3f}")
    more = f", the {_SHOWN} best of {len(with_objects)}" if len(with_objects) > _SHOWN else ""
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title=f"IoU above .5{more}")
    axes.grid(alpha=0.3)
    if with_objects:
        axes.legend(title="class, area AP", fontsize="small")
    return figure


def _confusion(report: Report, figure: Figure) -> Figure:
    axes = figure.subplots()
    counts = report.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = ["background", *report.dataset.classes]
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="answer", ylabel="truth", title=f"from score {report.score:g} on")
    if len(names) <= _NUMBERED:
        _write_numbers(axes, counts, shares)
    return figure


def _write_numbers(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=8)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()
