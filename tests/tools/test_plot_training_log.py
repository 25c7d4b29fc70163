"""Charts of training logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffelite.tools.plot_training_log import _QUANTITIES, CHART_TYPES, _points, plot_training_log

from .conftest import Run
from .test_parse_log import LOG, write

pytest.importorskip("matplotlib")


def test_the_eight_charts_by_number() -> None:
    assert CHART_TYPES == (
        "Test accuracy vs. Iters", "Test accuracy vs. Seconds", "Test loss vs. Iters", "Test loss vs. Seconds",
        "Train learning rate vs. Iters", "Train learning rate vs. Seconds", "Train loss vs. Iters", "Train loss vs. Seconds",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("chart", "x", "y"),
    [
        (0, [0, 8], [0.25, 0.75]), (1, [1, 3], [0.25, 0.75]), (2, [0, 8], [1.5, 0.5]), (3, [1, 3], [1.5, 0.5]),
        (4, [0, 5, 8], [0.1, 0.01, 0.01]), (5, [1, 2.25, 3], [0.1, 0.01, 0.01]),
        (6, [0, 5, 8], [1.75, 1.25, 1e-05]), (7, [1, 2.25, 3], [1.75, 1.25, 1e-05]),
    ],
)  # fmt: skip
def test_what_each_chart_shows(chart: int, x: list[float], y: list[float]) -> None:
    axis = ("NumIters", "Seconds")[chart % 2]
    assert _points(write(LOG), _QUANTITIES[chart // 2], axis) == (x, y)


@pytest.mark.parametrize("chart", range(8))
def test_each_chart_is_drawn(run: Run, chart: int) -> None:
    write(LOG), write(LOG, "second.log")
    assert run(f"plot_training_log.py {chart} chart.png train.log second.log").code == 0
    assert Path("chart.png").read_bytes().startswith(b"\x89PNG")


def test_the_ending_says_the_format() -> None:
    plot_training_log(6, "chart.svg", [write(LOG)])
    text = Path("chart.svg").read_text()
    assert "<svg" in text and text.rstrip().endswith("</svg>")


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("plot 8 a.png train.log", 2, "chart type: expected 0 to 7, got 8"),
        ("plot x a.png train.log", 2, "6: Train loss vs. Iters"),
        ("plot 6 a.xyz train.log", 2, "expected a name that ends in one of"),
        ("plot 6 a.png", 2, "expected CHART_TYPE OUT.png LOG"),
        ("plot 6 a.png train.log absent.log", 3, "log 'absent.log' does not exist"),
        ("plot 0 a.png untested.log", 3, "log 'untested.log': nothing to draw, it holds no test accuracy"),
    ],
)
def test_what_cannot_be_drawn(run: Run, line: str, code: int, message: str) -> None:
    write(LOG), write("".join(text for text in LOG.splitlines(True) if "Test" not in text), "untested.log")
    result = run(line)
    assert result.code == code and message in result.err
    assert not list(Path().glob("*a.*"))
