"""Charts of training logs: Caffe's tools/extra/plot_training_log.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from caffelite.atomic import atomic_write
from caffelite.errors import DataError, UsageError
from caffelite.tools.parse_log import (
    ITERS,
    LOSS,
    RATE,
    SECONDS,
    Table,
    Tables,
    accuracy_column,
    loss_column,
    parse_log,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class _Quantity(NamedTuple):
    """What a chart shows: the table it is in, and its column there."""

    name: str
    table: Callable[[Tables], Table]
    column: Callable[[Table], str]


_QUANTITIES = (
    _Quantity("Test accuracy", lambda tables: tables.test, accuracy_column),
    _Quantity("Test loss", lambda tables: tables.test, loss_column),
    _Quantity("Train learning rate", lambda tables: tables.losses, lambda _: RATE),
    _Quantity("Train loss", lambda tables: tables.losses, lambda _: LOSS),
)
_AXES = {"Iters": ITERS, "Seconds": SECONDS}

CHART_TYPES = tuple(f"{quantity.name} vs. {axis}" for quantity in _QUANTITIES for axis in _AXES)
"""The charts by their number."""

_DPI = 120
_INCHES = (8, 5)


def plot_training_log(chart_type: int, output: str | Path, logs: Sequence[str | Path]) -> None:
    """Draws one chart of one or more logs, a line for each; ``output`` ends in its format, such as .png.

    Raises:
        UsageError: no such chart type (0 to 7, :data:`CHART_TYPES`) or picture format.
        MissingFileError, DataError: a log that is missing, or holds nothing of what the chart shows;
            matplotlib is not installed.
        SnapshotError: the picture cannot be written.
    """
    if chart_type not in range(len(CHART_TYPES)):
        raise UsageError(
            f"chart type: expected 0 to {len(CHART_TYPES) - 1}, got {chart_type}\n{chart_list()}"
        )
    quantity, axis = _QUANTITIES[chart_type // len(_AXES)], list(_AXES)[chart_type % len(_AXES)]
    lines = [(Path(log).name, *_points(log, quantity, _AXES[axis])) for log in logs]
    figure, form = _figure(), _format(output)
    axes = figure.subplots()
    for name, x, y in lines:
        axes.plot(x, y, label=name, marker="o", markersize=3)
    axes.set(title=CHART_TYPES[chart_type], xlabel=axis, ylabel=quantity.name)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_write(output) as file:
        figure.savefig(file, format=form, dpi=_DPI)


def chart_list() -> str:
    """The chart types with their numbers, one a line."""
    return "\n".join(f"    {number}: {name}" for number, name in enumerate(CHART_TYPES))


def _points(log: str | Path, quantity: _Quantity, x: str) -> tuple[list[float], list[float]]:
    table = quantity.table(parse_log(log))
    column = quantity.column(table)
    points = [(row[x], row[column]) for row in table.rows if column in row]
    if not points:
        raise DataError(f"log '{log}': nothing to draw, it holds no {quantity.name.lower()}")
    return [point[0] for point in points], [point[1] for point in points]


def _figure() -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DataError(f"charts need matplotlib: {error}\n  Fix: pip install 'caffelite[plot]'") from error
    return Figure(figsize=_INCHES, layout="constrained")


def _format(output: str | Path) -> str:
    from matplotlib.backend_bases import FigureCanvasBase

    form, known = Path(output).suffix[1:].lower(), FigureCanvasBase.get_supported_filetypes()
    if form not in known:
        raise UsageError(
            f"'{output}': expected a name that ends in one of {', '.join(f'.{name}' for name in known)}"
        )
    return form
