"""A report as text, JSON, CSV, and an HTML page that holds all it shows."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caffelite.atomic import atomic_write, make_folder
from caffelite.detection.evaluation import curves
from caffelite.detection.evaluation.confusion import Verdict
from caffelite.detection.evaluation.worst import draw_verdict

if TYPE_CHECKING:
    from caffelite.detection.evaluation.report import ClassResult, Report

_HEAD = ("class", "objects", "difficult", "detections", "AP (VOC07)", "AP (area)", "AP (COCO)", "AP50 (COCO)")
_CSV_HEAD = (
    "class",
    "objects",
    "difficult",
    "detections",
    "ap_voc07",
    "ap_area",
    "ap_coco",
    "ap50_coco",
    "note",
)
_COCO_MEANS = {
    "AP": "AP, IoU .50 to .95", "AP50": "AP, IoU .50", "AP75": "AP, IoU .75",
    "AP_small": "AP, small (area up to 32 x 32)", "AP_medium": "AP, medium", "AP_large": "AP, large (from 96 x 96)",
    "AR_1": "AR, 1 detection a picture", "AR_10": "AR, 10 detections", "AR_100": "AR, 100 detections",
    "AR_small": "AR, small", "AR_medium": "AR, medium", "AR_large": "AR, large",
}  # fmt: skip
_STYLE = """body{font:15px/1.45 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child,td.t{text-align:left}img{max-width:100%}figure{display:inline-block;margin:.5rem;max-width:30rem;
vertical-align:top}.n{background:#fff6dd;padding:.5rem 1rem}"""


def as_dict(report: Report) -> dict[str, Any]:
    """All numbers; what is not defined is None."""
    return {
        "set": report.dataset.name,
        "pictures": len(report.dataset.pictures),
        "map_voc07": _number(report.map07),
        "map_area": _number(report.map),
        "coco": {name: _coco(value) for name, value in report.coco.items()},
        "classes": [dict(zip(_CSV_HEAD, _values(one), strict=True)) for one in report.classes],
        "score": report.score,
        "confusion": {
            "names": ["background", *report.dataset.classes],
            "truth_by_answer": report.confusion.tolist(),
        },
        "worst": [_worst(one) for one in report.worst],
        "notes": list(report.notes),
    }


def text(report: Report) -> str:
    """The tables, then the notes."""
    return "\n".join(_text(report))


def write(report: Report, folder: str | os.PathLike[str], pictures: int) -> Path:
    """Writes report.html, report.json, report.csv, curves.png, confusion.png and worst/*.jpg."""
    target = make_folder(folder)
    _save(target / "report.json", json.dumps(as_dict(report), indent=1).encode())
    _save(target / "report.csv", _csv(report))
    charts = dict(curves.charts(report))
    for name, data in charts.items():
        _save(target / name, data)
    images = {}
    for number, verdict in enumerate(report.worst[:pictures], 1):
        name = f"{number:03d}_{Path(verdict.picture.key).stem}.jpg"
        images[name] = draw_verdict(verdict, report.dataset.classes)
        _save(make_folder(target / "worst") / name, images[name])
    _save(target / "report.html", "\n".join(_html(report, charts, images)).encode())
    return target / "report.html"


def _save(path: Path, data: bytes) -> None:
    with atomic_write(path) as file:
        file.write(data)


# -- numbers -------------------------------------------------------------------------------------------------


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _coco(value: float) -> float | None:
    return None if value < 0 else round(value, 6)


def _values(one: ClassResult) -> tuple[Any, ...]:
    curve = one.curve
    return (
        one.name, curve.objects, curve.difficult, one.detections, _number(curve.ap07), _number(curve.ap),
        _coco(one.coco), _coco(one.coco50), one.note,
    )  # fmt: skip


def _worst(one: Verdict) -> dict[str, Any]:
    return {
        "key": one.picture.key,
        "mistakes": one.mistakes,
        "missed": len(one.missed),
        "invented": len(one.invented),
        "confused": int(np.count_nonzero(one.truth != one.said)),
    }


def _csv(report: Report) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_CSV_HEAD)
    writer.writerows(_values(one) for one in report.classes)
    means = (report.map07, report.map)
    writer.writerow(
        ["mean", "", "", "", *map(_number, means), _coco(report.coco["AP"]), _coco(report.coco["AP50"]), ""]
    )
    return file.getvalue().encode()


# -- text ----------------------------------------------------------------------------------------------------


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _rows(report: Report) -> list[list[str]]:
    rows = [[_shown(value) for value in _values(one)[:-1]] for one in report.classes]
    coco = (_coco(report.coco["AP"]), _coco(report.coco["AP50"]))
    means = [_shown(value) for value in (_number(report.map07), _number(report.map), *coco)]
    sums = [sum(counts) for counts in zip(*(_values(one)[1:4] for one in report.classes), strict=True)]
    return [*rows, ["mean", *map(str, sums), *means]]


def _text(report: Report) -> Iterator[str]:
    yield f"{report.dataset.name}: {len(report.dataset.pictures)} pictures"
    yield from _columns(_HEAD, _rows(report))
    yield ""
    yield "VOC: IoU above .5, difficult objects left out; VOC07 is the mean of 11 recalls, area that of later years. COCO:"
    yield from (f"  {meaning:34s}{_shown(_coco(report.coco[name]))}" for name, meaning in _COCO_MEANS.items())
    yield from (f"{one.name}: {one.note}" for one in report.classes if one.note)
    yield from report.notes


def _columns(head: Sequence[str], body: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    for row in (head, ["-" * width for width in widths], *body):
        first, *rest = zip(row, widths, strict=True)
        yield "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)])


# -- HTML ----------------------------------------------------------------------------------------------------


def _html(report: Report, charts: dict[str, bytes], images: dict[str, bytes]) -> Iterator[str]:
    title = escape(f"Detections in {report.dataset.name}")
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    yield f"<h1>{title}</h1><p>{len(report.dataset.pictures)} pictures.</p>"
    notes = [*report.notes, *(f"{one.name}: {one.note}" for one in report.classes if one.note)]
    if notes:
        yield f'<div class="n">{"<br>".join(map(escape, notes))}</div>'
    yield "<h2>Average precision</h2>"
    yield from _table(_HEAD, _rows(report))
    yield "<h2>COCO</h2>"
    yield from _table(("", ""), [[_COCO_MEANS[n], _shown(_coco(v))] for n, v in report.coco.items()])
    yield f"<h2>Charts</h2>{'' if charts else f'<p>{escape(curves.NO_CHARTS)}</p>'}"
    yield from (f'<img alt="{escape(name)}" src="{_inline(data, "png")}">' for name, data in charts.items())
    yield f"<h2>What was taken for what, from score {report.score:g} on</h2>"
    names = ["background", *report.dataset.classes]
    yield from _table(
        ["truth \\ answer", *names],
        [[n, *map(str, row)] for n, row in zip(names, report.confusion.tolist(), strict=True)],
    )
    yield f"<h2>Worst pictures</h2><p>{len(report.worst)} with mistakes. Thick: what was detected, with scores; thin: what was missed or is difficult.</p>"
    for verdict, (name, data) in zip(report.worst, images.items(), strict=False):
        yield f'<figure><img alt="{escape(name)}" src="{_inline(data, "jpeg")}"><figcaption>{_caption(verdict)}</figcaption></figure>'


def _caption(verdict: Verdict) -> str:
    counts = _worst(verdict)
    return escape(
        f"{counts['key']}: {counts['missed']} missed, {counts['invented']} invented, {counts['confused']} confused"
    )


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"
    yield from ("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
    yield "</table>"


def _inline(data: bytes, form: str) -> str:
    return f"data:image/{form};base64,{base64.b64encode(data).decode()}"
