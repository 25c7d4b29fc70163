"""``train_net.py`` of py-faster-rcnn."""

from __future__ import annotations

from pathlib import Path

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.cli.frcnn import COMMON, IMDB, needed, settings_of
from caffelite.errors import UsageError


def _run(options: Options) -> int:
    needed(options, "solver")
    with settings_of(options):
        result = _train(options)
    from caffelite.detection.run_folder import WEIGHTS

    print(f"Wrote snapshot to: {result}")  # scripts of experiments/ look for this and the next line
    if result.name == WEIGHTS:
        print("done solving")
    return 0


def _train(options: Options) -> Path:
    from caffelite.detection.imdb import card_of_cfg, load_imdb, output_folder, proposals_of
    from caffelite.detection.training import train

    solver, imdb = Path(options.text("solver")), options.text("imdb")
    method = _method(solver)
    proposals = options.text("proposals") or (proposals_of(imdb) if method == "fast" else None)
    if method == "fast" and not proposals:
        raise UsageError(
            f"a Fast R-CNN needs proposals of '{imdb}'\n  Fix: caffelite det propose DATA -o FILE.npz, then --proposals FILE.npz"
        )
    dataset = load_imdb(imdb, options.items("classes"))
    return train(
        solver.parent,
        dataset,
        run=output_folder(imdb),
        card=card_of_cfg(method, dataset.classes),
        weights=options.items("weights"),
        proposals=proposals,
        iterations=options.integer("iters"),
        resume=options.text("resume"),
        seed=None if options.switch("rand") else _seed(),
        settings=options.several("set"),
    )


def _seed() -> int:
    from caffelite.boxes.config import cfg

    return int(cfg.RNG_SEED)


def _method(solver: Path) -> str:
    """What the net of a solver is: its data layer delivers boxes or regions."""
    from caffelite.prototxt.source import read_net, read_solver

    p = read_solver(solver).message
    name = p.train_net or p.net
    near = solver.parent / Path(name).name
    tops = {top for layer in read_net(near if near.exists() else name).message.layer for top in layer.top}
    return "faster" if "gt_boxes" in tops else "fast"


COMMAND = Command(
    "trains a Fast R-CNN, or a Faster R-CNN end to end",
    _run,
    (
        Flag("solver", "", "the solver; its net stands beside it", "PROTOTXT"),
        Flag("iters", 40000, "iterations", "N"),
        Flag("weights", "", "weights to begin with", "CAFFEMODEL"),
        IMDB,
        Flag("proposals", "", "Fast R-CNN: proposals in place of data/selective_search_data", "FILE"),
        Flag("rand", False, "another seed than cfg.RNG_SEED"),
        Flag("resume", "", "auto, or a solver state to go on from", "FILE"),
        *COMMON,
    ),
    text="Writes to output/EXP_DIR/IMDB, which is made and tried out first.",
    examples=(
        "tools/train_net.py --gpu 0 --solver models/pascal_voc/ZF/faster_rcnn_end2end/solver.prototxt "
        "--weights data/imagenet_models/ZF.v2.caffemodel --imdb voc_2007_trainval --iters 70000 "
        "--cfg experiments/cfgs/faster_rcnn_end2end.yml",
    ),
)
