"""``train_faster_rcnn_alt_opt.py`` of py-faster-rcnn."""

from __future__ import annotations

from pathlib import Path

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.cli.frcnn import COMMON, IMDB, needed, settings_of
from caffelite.errors import MissingFileError

_RECIPE = "faster_rcnn_alt_opt"


def _run(options: Options) -> int:
    from caffelite.boxes.config import cfg
    from caffelite.detection.imdb import card_of_cfg, load_imdb, output_folder
    from caffelite.detection.training import train

    needed(options, "net_name")
    imdb = options.text("imdb")
    with settings_of(options):
        folder = _folder(Path(cfg.MODELS_DIR), options.text("net_name"))
        dataset = load_imdb(imdb, options.items("classes"))
        result = train(
            folder, dataset, run=output_folder(imdb), card=card_of_cfg("faster-4step", dataset.classes),
            weights=options.items("weights"), resume=options.text("resume"), seed=cfg.RNG_SEED,
            iterations=options.integer("iters") or None,
        )  # fmt: skip
    print(f"Wrote {result}")
    return 0


def _folder(models: Path, name: str) -> Path:
    places = [models / "pascal_voc" / name / _RECIPE, models / name / _RECIPE, Path(name)]
    for place in places:
        if place.is_dir():
            return place
    raise MissingFileError(
        places[0], "folder of the four steps' prototxts", "caffelite det init --method faster-4step makes one"
    )


COMMAND = Command(
    "trains a Faster R-CNN in the paper's four steps",
    _run,
    (
        Flag("net_name", "", "ZF, VGG16 ... in models/pascal_voc; or a folder with the prototxts", "NAME"),
        Flag("weights", "", "weights to begin with", "CAFFEMODEL"),
        IMDB,
        Flag("resume", "", "auto goes on from the last snapshot", "auto"),
        Flag("iters", 0, "iterations of each step; 0: what the solvers say", "N"),
        *COMMON,
    ),
    text="Writes to output/EXP_DIR/IMDB, which is made and tried out first.",
    examples=(
        "tools/train_faster_rcnn_alt_opt.py --net_name ZF --weights ZF.v2.caffemodel --imdb voc_2007_trainval",
    ),
)
