"""``caffelite det check DATA``: what is in a data set, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError

if TYPE_CHECKING:
    from caffelite.detection.check import Check
    from caffelite.detection.coverage import AnchorSettings


def _run(options: Options) -> int:
    from caffelite.atomic import check_target
    from caffelite.detection.check import check_set
    from caffelite.detection.check_report import check_json, check_text

    sheet = options.text("sheet")
    if sheet:
        check_target(sheet)
    classes, anchors = options.items("classes"), _anchors(options)
    check = check_set(options.arguments[0], options.text("split"), classes, anchors, options.switch("decode"))
    if options.switch("json"):
        import json

        print(json.dumps(check_json(check), indent=1))
    else:
        print(check_text(check))
    if sheet:
        _draw(check, sheet, options)
    return check.exit_code


def _draw(check: Check, path: str, options: Options) -> None:
    from caffelite.detection.sheet import write_sheet

    wrong = {finding.place for finding in check.findings}
    first = [picture.key for picture in check.dataset.pictures if _is_about(picture.source, wrong)]
    count = write_sheet(path, check.dataset, options.integer("pictures"), first)
    if not options.switch("json"):
        print(f"\nwrote {count} pictures to '{path}'")


def _is_about(source: str, places: set[str]) -> bool:
    return any(place.startswith(source) for place in places)


def _anchors(options: Options) -> AnchorSettings:
    from caffelite.detection.coverage import AnchorSettings

    return AnchorSettings(
        _numbers(options, "scales"),
        _numbers(options, "ratios"),
        size=options.integer("base"),
        stride=options.integer("stride"),
        short=options.integer("short"),
        long=options.integer("long"),
    )


def _numbers(options: Options, name: str) -> tuple[float, ...]:
    try:
        return tuple(float(item) for item in options.items(name))
    except ValueError:
        text = options.text(name)
        raise UsageError(f"--{name}: expected numbers with commas between, got '{text}'") from None


COMMAND = Command(
    "counts, sizes, bad boxes with file and line, and whether anchors fit a data set",
    _run,
    (
        Flag("split", "", "the split to look at; not given: all of them", "NAME"),
        Flag("classes", "", "classes in the order of their labels; not given: the files'", "NAMES"),
        Flag("sheet", "", "also draw pictures with their boxes into a PNG or JPEG file", "FILE"),
        Flag("pictures", 24, "pictures on the sheet; those with findings come first", "N"),
        Flag("json", False, "print JSON"),
        Flag("decode", True, "read each picture whole, to find broken ones"),
        Flag("scales", "8,16,32", "scales of the anchors", "NUMBERS"),
        Flag("ratios", "0.5,1,2", "their heights by their widths", "NUMBERS"),
        Flag("base", 16, "side of an anchor of scale 1, pixels", "N"),
        Flag("stride", 16, "pixels from one anchor to the next", "N"),
        Flag("short", 600, "the short side of images at the net's input, pixels; 0: as they are", "N"),
        Flag("long", 1000, "what the long side may have at most; 0: anything", "N"),
    ),
    "DATA",
    "Ends with 3 if anything is wrong with the data, with 0 if nothing is.",
    (
        "caffelite det check VOCdevkit/VOC2007",
        "caffelite det check data/shapes --sheet sheet.png --short 0 --scales 1,2,4",
    ),
    (1, 1),
)
