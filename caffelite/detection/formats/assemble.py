"""Makes the pictures of a set from what a reader found; every format goes this way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from caffelite.detection.dataset import DetectionSet, Picture
from caffelite.detection.findings import Findings
from caffelite.detection.formats.boxes import BoxReader
from caffelite.detection.formats.classes import Labels, labels_of
from caffelite.detection.formats.records import Box, Record, Records, Thing
from caffelite.detection.headers import Header
from caffelite.detection.pictures import picture_header
from caffelite.errors import DataError, MissingFileError


def assemble(name: str, records: Records, classes: Sequence[str], findings: Findings) -> DetectionSet:
    """The set of some records; ``findings`` gets what was wrong with them.

    Raises:
        MissingFileError: not one of the images is there.
        UsageError: a class is wanted twice.
    """
    if records.records and not any(record.path for record in records.records):
        first = records.records[0]
        fix = f"put the pictures beside the annotations; they are named in '{first.source}'"
        raise MissingFileError(first.image or first.key, "none of the pictures is there: picture", fix)
    labels = labels_of(records, classes, findings)
    pictures: dict[str, Picture] = {}
    for record in records.records:
        if record.key in pictures:
            text = f"picture '{record.key}' stands there twice; the first one counts"
            findings.warn("picture twice", record.source, text, "remove one of the two")
        elif (picture := _picture(records, record, labels, findings)) is not None:
            pictures[record.key] = picture
    ids = _category_ids(records, labels)
    return DetectionSet(name, labels.classes, list(pictures.values()), tuple(findings), ids)


def _category_ids(records: Records, labels: Labels) -> tuple[int, ...]:
    """COCO's ids of the classes; none if the files have none, or not of all classes."""
    pairs = zip(records.classes, records.category_ids, strict=False)
    ids = {labels.label(name): number for name, number in pairs}
    wanted = range(1, len(labels.classes) + 1)
    return tuple(ids[label] for label in wanted) if all(label in ids for label in wanted) else ()


def _picture(records: Records, record: Record, labels: Labels, findings: Findings) -> Picture | None:
    header = _header(record, findings)
    if header is None or record.path is None:
        return None
    reader = BoxReader(records, record, header, findings)
    found: list[tuple[Thing, Box]] = []
    for thing in record.things:
        if not labels.label(thing.name):
            findings.warn("unknown class", thing.place, labels.unknown(thing.name), "mend the name")
        elif (box := reader.box(thing)) is not None:
            found.append((thing, box))
    found = _without_doubles(found, labels, findings)
    things = [thing for thing, _ in found]
    return Picture(
        key=record.key,
        path=record.path,
        width=reader.width,
        height=reader.height,
        boxes=np.array([box for _, box in found], np.float32).reshape(-1, 4),
        labels=np.array([labels.label(thing.name) for thing in things], np.int64),
        difficult=np.array([thing.difficult or thing.crowd for thing in things], bool),
        source=record.source,
        crowd=np.array([thing.crowd for thing in things], bool),
        areas=_areas(found),
        image_id=record.image_id,
    )


def _header(record: Record, findings: Findings) -> Header | None:
    if record.path is None:
        what = f"picture '{record.image or record.key}' does not exist; left out"
        fix = "bring the file, or remove it from the annotations"
        findings.warn("no picture", record.source, what, fix)
        return None
    try:
        return picture_header(record.path)
    except DataError as error:
        findings.refuse_error("broken picture", error, record.source)
        return None


def _without_doubles(
    found: list[tuple[Thing, Box]], labels: Labels, findings: Findings
) -> list[tuple[Thing, Box]]:
    first: dict[tuple[int, Box], tuple[Thing, Box]] = {}
    for thing, box in found:
        if first.setdefault((labels.label(thing.name), box), (thing, box))[0] is not thing:
            text = f"the same '{thing.name}' with the same box stands there twice; one is left out"
            findings.warn("object twice", thing.place, text, "remove one of the two")
    return list(first.values())


def _areas(found: list[tuple[Thing, Box]]) -> np.ndarray:
    boxes = np.array([box for _, box in found], np.float32).reshape(-1, 4)
    own = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    told = np.array([thing.area for thing, _ in found], np.float32)
    return np.where(np.isnan(told), own, told).astype(np.float32)


def names_of(records: Records) -> Counter[str]:
    """How often each class is named, in the files' own spelling."""
    return Counter(thing.name for record in records.records for thing in record.things)
