"""What a check of a data set found, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from caffelite.detection.check import SIDES, Check

_SIZES = 5  # sizes of pictures that are listed
_BAR = 40  # letters


def check_text(check: Check) -> str:
    """The lines that ``caffelite det check`` prints."""
    parts = [_head(check), _classes(check), _pictures(check), _boxes(check), _findings(check)]
    if check.advice:
        parts.append("\n".join(check.advice))
    return "\n\n".join(parts)


def check_json(check: Check) -> dict[str, Any]:
    """The same for programs."""
    settings = asdict(check.coverage.settings)
    advice = check.coverage.advice
    return {
        "path": check.path,
        "format": check.format,
        "classes": list(check.dataset.classes),
        "pictures": len(check.dataset),
        "splits": {name or "all": asdict(counts) for name, counts in check.splits.items()},
        "sizes": [[*size, count] for size, count in check.sizes.most_common()],
        "sides": dict(zip(_bins(), check.sides, strict=True)),
        "findings": [asdict(finding) for finding in check.findings],
        "anchors": {
            "settings": settings,
            "missed": check.coverage.missed,
            "missed_at_half_the_stride": check.coverage.finer,
            "small": check.coverage.small,
            "advice": {"scales": advice.scales, "ratios": advice.ratios, "missed": check.coverage.advised}
            if advice
            else None,
        },
        "advice": check.advice,
    }


def _head(check: Check) -> str:
    return (
        f"{check.path}: {check.format}, {_count(len(check.dataset), 'picture')}, "
        f"{_count(len(check.dataset.classes), 'class')}"
    )


def _classes(check: Check) -> str:
    """Objects of each class in each split, difficult ones in brackets."""
    splits = check.splits
    head = ["objects", *(name or "all" for name in splits)]
    rows = [head]
    for name in check.dataset.classes:
        rows.append([name, *(_objects(counts, name) for counts in splits.values())])
    rows.append(["pictures", *(str(counts.pictures) for counts in splits.values())])
    rows.append(["without objects", *(str(counts.empty) for counts in splits.values())])
    return "\n".join(_columns(rows))


def _objects(counts: Any, name: str) -> str:
    difficult = counts.difficult.get(name, 0)
    objects = str(counts.objects.get(name, 0))
    return f"{objects} ({difficult} difficult)" if difficult else objects


def _columns(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        yield "  ".join(cells).rstrip()


def _pictures(check: Check) -> str:
    sizes = check.sizes.most_common(_SIZES)
    text = ", ".join(f"{width} x {height} ({count})" for (width, height), count in sizes)
    rest = len(check.sizes) - len(sizes)
    return f"pictures: {text or 'none'}" + (f" and {rest} other sizes" if rest else "")


def _boxes(check: Check) -> str:
    most = max(1, *check.sides)
    bars = zip(_bins(), check.sides, strict=True)
    lines = [f"  {name:>8}  {count:>6}  {'#' * -(-_BAR * count // most)}".rstrip() for name, count in bars]
    return "\n".join(["boxes by their side, sqrt(width * height), in pixels:", *lines])


def _bins() -> list[str]:
    pairs = zip(SIDES, SIDES[1:], strict=False)
    return [f"< {SIDES[0]}", *(f"{low}-{high}" for low, high in pairs), f">= {SIDES[-1]}"]


def _findings(check: Check) -> str:
    """Every finding; the cure once for each kind."""
    if not check.findings:
        return "nothing wrong"
    lines = [f"{_count(len(check.findings), 'finding')}:"]
    by_kind: dict[str, list[str]] = {}
    for finding in check.findings:
        cure = f"{finding.kind}: {finding.fix}" if finding.fix else finding.kind
        by_kind.setdefault(cure, []).append(f"    {finding.place}: {finding.text}")
    for cure, places in by_kind.items():
        lines += [f"  {cure}", *places]
    return "\n".join(lines)


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 'es' if what.endswith('s') else 's'}"
