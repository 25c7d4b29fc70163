"""``test_net.py`` of py-faster-rcnn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from caffelite.cli.command import Command
from caffelite.cli.detectors import tell
from caffelite.cli.flags import Flag, Options
from caffelite.cli.frcnn import COMMON, DEF, NET, TEST_IMDB, needed, settings_of
from caffelite.errors import UsageError


def _run(options: Options) -> int:
    from caffelite.detection.detections import read_detections, write_detections
    from caffelite.detection.detector import Detector
    from caffelite.detection.imdb import card_of_cfg, load_imdb, output_folder, proposals_of
    from caffelite.detection.proposals import read_proposals
    from caffelite.detection.testing import FILE, Times, assess

    needed(options, "def", "net")
    _tell_of_card(Path(options.text("def")))
    imdb, times = options.text("imdb"), Times()
    with settings_of(options):
        dataset = load_imdb(imdb, options.items("classes"))
        method = _method(options.text("def"))
        card = replace(card_of_cfg(method, dataset.classes), limit=options.integer("num_dets"))
        detector = Detector.load(options.text("def"), options.text("net"), card)
        file = options.text("proposals") or (proposals_of(imdb) if method == "fast" else None)
        output = output_folder(imdb) / Path(options.text("net")).stem
        found = read_proposals(file, dataset) if file else None
        report = assess(detector, dataset, output, found, tell=tell, times=times)
        write_detections(output / "results", read_detections(output / FILE, dataset), dataset)
    print(report.text())
    print(f"{times.text()}\nWrote {output}: {FILE}, report.html, and VOC's result files in results")
    return 0


def _tell_of_card(net: Path) -> None:
    """A detector of ``caffelite det`` has its sizes and means in its card, which this tool's users do not expect."""
    from caffelite.detection.card import CARD
    from caffelite.logs.log import get_log

    card = net.with_name(CARD)
    if card.exists():
        text = (
            f"{card} is not read: sizes and means are those of --cfg and --set. caffelite det test reads it"
        )
        get_log().emit("warning", text, "test_net.py:1", "W")


def _method(net: str) -> str:
    """What a net for testing is. Raises UsageError for one that is neither."""
    from caffelite.prototxt.source import read_net

    message = read_net(net).message
    inputs = {*message.input, *(top for layer in message.layer if layer.type == "Input" for top in layer.top)}
    if not inputs & {"im_info", "rois"}:
        got = ", ".join(sorted(inputs)) or "none"
        raise UsageError(f"--def {net}: expected a net with an input im_info or rois, got inputs {got}")
    return "faster" if "im_info" in inputs else "fast"


COMMAND = Command(
    "a detector over a data set, and its average precision",
    _run,
    (
        DEF,
        NET,
        TEST_IMDB,
        Flag("num_dets", 100, "detections of an image at most", "N"),
        Flag("proposals", "", "Fast R-CNN: proposals in place of data/selective_search_data", "FILE"),
        *COMMON,
    ),
    text="Writes to output/EXP_DIR/IMDB/NET, which is made and tried out first.",
    examples=(
        "tools/test_net.py --gpu 0 --def models/pascal_voc/ZF/faster_rcnn_end2end/test.prototxt --net zf.caffemodel "
        "--imdb voc_2007_test --cfg experiments/cfgs/faster_rcnn_end2end.yml",
    ),
)
