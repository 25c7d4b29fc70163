"""Which label a class has, however its name is spelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from caffelite.detection.findings import Findings
from caffelite.detection.formats.records import Records
from caffelite.errors import DataError, UsageError
from caffelite.prototxt.suggest import suggestion


def folded(name: str) -> str:
    """A name without what makes no difference: upper and lower case, spaces around it."""
    return name.strip().casefold()


class Labels:
    """Labels by name. ``classes``: the names in the order of their labels, which count from 1."""

    def __init__(self, classes: Sequence[str], origin: str):
        self.classes = tuple(name.strip() for name in classes)
        self._labels: dict[str, int] = {}
        self._origin = origin
        for label, name in enumerate(self.classes, 1):
            if self._labels.setdefault(folded(name), label) != label:
                raise UsageError(f"class '{name}' stands twice among the classes {origin}")

    def label(self, name: str) -> int:
        """The label of a class; 0 if it is none."""
        return self._labels.get(folded(name), 0)

    def unknown(self, name: str) -> str:
        """What is to be said of a class that there is not."""
        known = f"{len(self.classes)} classes {self._origin}"
        return (
            f"class '{name}' is none of the {known}{suggestion(name, self.classes)}; the object is left out"
        )


class _Numbers(Labels):
    """Labels of files that have numbers for classes."""

    def label(self, name: str) -> int:
        return int(name) if 1 <= int(name) <= len(self.classes) else 0


def labels_of(records: Records, wanted: Sequence[str], findings: Findings) -> Labels:
    """The labels of a set: of the classes that are wanted, or that the files list, or of all that are used."""
    if records.numbered:
        return _numbers(records, wanted)
    if wanted:
        return Labels(wanted, "asked for")
    if records.classes:
        return _listed(records.classes, findings)
    spellings = _spellings(records.names)
    _tell_spellings(records, spellings, findings)
    return Labels(sorted((_usual(found) for found in spellings.values()), key=folded), "of the set")


def _numbers(records: Records, wanted: Sequence[str]) -> Labels:
    count = max((int(name) for name in records.names), default=0)
    if wanted and len(wanted) < count:
        raise DataError(f"the files have classes up to {count}, expected as many names, got {len(wanted)}")
    return _Numbers(wanted or [str(number) for number in range(1, count + 1)], "of the set")


def _listed(classes: tuple[str, ...], findings: Findings) -> Labels:
    try:
        return Labels(classes, "that the set lists")
    except UsageError as error:
        raise DataError(
            f"{error}\n  Fix: names that differ in upper and lower case alone are one class"
        ) from error


def _spellings(names: Iterable[str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for name in names:
        found.setdefault(folded(name), Counter())[name.strip()] += 1
    return found


def _usual(spellings: Counter[str]) -> str:
    return max(spellings, key=lambda name: (spellings[name], name))


def _tell_spellings(records: Records, spellings: dict[str, Counter[str]], findings: Findings) -> None:
    usual = {name: _usual(found) for found in spellings.values() for name in found}
    for record in records.records:
        for thing in record.things:
            name = thing.name.strip()
            if name != usual.get(name, name):
                text = f"class '{name}' is elsewhere written '{usual[name]}'; read as the same"
                findings.warn("spelling", thing.place, text, "write it in one way")
