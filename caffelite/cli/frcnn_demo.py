"""``demo.py`` of py-faster-rcnn."""

from __future__ import annotations

from pathlib import Path

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.cli.frcnn import CFG, CLASSES, GPU, SET, settings_of
from caffelite.errors import MissingFileError

_NETS = {
    "vgg16": ("VGG16", "VGG16_faster_rcnn_final.caffemodel"),
    "zf": ("ZF", "ZF_faster_rcnn_final.caffemodel"),
}
_SCORE, _IMAGES = 0.8, "demo"
_FIX = (
    "put the published file there, or give --def and --weights of another detector; "
    "'caffelite det train --data DATA -o RUN' trains one that 'caffelite det demo RUN IMAGE -o out' shows"
)


def _run(options: Options) -> int:
    from dataclasses import replace

    from caffelite.detection.demo import demo
    from caffelite.detection.detector import Detector
    from caffelite.detection.imdb import VOC, card_of_cfg

    with settings_of(options):
        from caffelite.boxes.config import cfg

        folder, weights = _NETS[options.text("net")]
        net = options.text("def") or _first(
            Path(cfg.MODELS_DIR) / "pascal_voc" / folder / "faster_rcnn_alt_opt" / "faster_rcnn_test.pt",
            Path(cfg.MODELS_DIR) / folder / "faster_rcnn_alt_opt" / "faster_rcnn_test.pt",
        )
        file = Path(options.text("weights") or Path(cfg.DATA_DIR) / "faster_rcnn_models" / weights)
        if not file.exists():
            raise MissingFileError(file, "weights of the detector", _FIX)
        card = replace(card_of_cfg("faster", options.items("classes") or VOC), score=_SCORE)
        detector = Detector.load(net, file, card)
        sources = options.arguments or [str(Path(cfg.DATA_DIR) / _IMAGES)]
        shown = demo(detector, sources, options.text("o"), tell=print)
    print(f"Wrote {len(shown)} pictures with their JSON to {options.text('o')}")
    return 0


def _first(*paths: Path) -> Path:
    return next((path for path in paths if path.exists()), paths[0])


COMMAND = Command(
    "what a Faster R-CNN finds in the images of data/demo, or in others",
    _run,
    (
        Flag("net", "vgg16", "vgg16 or zf", "NAME", tuple(_NETS)),
        Flag("cpu", False, "compute on the CPU, as is done anyway"),
        Flag("def", "", "another net for testing", "PROTOTXT"),
        Flag("weights", "", "other weights", "CAFFEMODEL"),
        Flag("o", "demo_out", "folder of the pictures and JSON", "DIR"),
        GPU, CFG, SET, CLASSES,
    ),
    "[IMAGE|FOLDER|VIDEO...]",
    "All classes are drawn into one picture of each image, which is saved; no window is opened.",
    ("tools/demo.py --cpu --net zf", "tools/demo.py --def test.pt --weights final.caffemodel film.mp4 -o out"),
    (0, None),
)  # fmt: skip
