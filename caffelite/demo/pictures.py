"""Pictures of a training run, drawn with matplotlib into PNG files (no display needed)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from caffelite.atomic import atomic_write
from caffelite.demo.scores import CLASSES, Scores
from caffelite.logs.metrics import read_metrics
from caffelite.params import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 120
_SHOWN = 12  # misread digits, at most


def draw_curves(metrics: Path, path: Path) -> None:
    """Losses and test scores over iterations, from a run's ``metrics.csv``."""
    series = read_metrics(metrics)
    figure = _figure(9, 4)
    left, right = figure.subplots(1, 2)
    losses = {name: points for name, points in series.items() if name.endswith("_loss")}
    scores = {
        name: points for name, points in series.items() if name.startswith("test") and name not in losses
    }
    _curves(left, losses, "loss")
    left.set_yscale("log")
    _curves(right, scores, "score")
    _save(figure, path)


def _curves(axes: Axes, series: dict[str, list[tuple[int, float]]], label: str) -> None:
    for name, points in series.items():
        axes.plot(*zip(*points, strict=True), label=name, marker="o", markersize=3)
    axes.set_xlabel("iteration")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    if series:
        axes.legend()


def draw_confusion(matrix: Array, path: Path) -> None:
    """A confusion matrix (true class, answer) with its numbers; colors show mistakes only."""
    figure = _figure(6, 6)
    axes = figure.subplots()
    axes.imshow(matrix * (1 - _diagonal()), cmap="Reds", vmin=0, vmax=max(3, matrix.max() // 10))
    for row, counts in enumerate(matrix):
        for column, count in enumerate(counts):
            if count:
                axes.text(
                    column,
                    row,
                    str(count),
                    ha="center",
                    va="center",
                    weight="bold" if row == column else "normal",
                )
    axes.set_xticks(range(CLASSES))
    axes.set_yticks(range(CLASSES))
    axes.set_xlabel("read as")
    axes.set_ylabel("digit")
    _save(figure, path)


def _diagonal() -> Array:
    import numpy as np

    return np.eye(CLASSES, dtype=int)


def draw_misread(scores: Scores, path: Path) -> None:
    """Some misread digits, the surest mistakes first, with what they are and what they were taken for."""
    figure = _figure(8, 6)
    numbers = scores.misread[:_SHOWN]
    figure.suptitle(f"{len(scores.misread)} of {len(scores.labels)} misread")
    for place, number in enumerate(numbers):
        axes = figure.add_subplot(3, 4, place + 1)
        axes.imshow(scores.images[number], cmap="gray_r")
        answer = scores.answers[number]
        axes.set_title(
            f"{scores.labels[number]} read as {answer} ({scores.probabilities[number, answer]:.0%})",
            fontsize=9,
        )
        axes.set_axis_off()
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=_DPI)
