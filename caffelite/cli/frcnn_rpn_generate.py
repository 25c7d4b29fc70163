"""``rpn_generate.py`` of py-faster-rcnn."""

from __future__ import annotations

from pathlib import Path

from caffelite.cli.command import Command
from caffelite.cli.flags import Options
from caffelite.cli.frcnn import COMMON, DEF, NET, TEST_IMDB, needed, settings_of

# unless --cfg or --set say otherwise
_ALL = ("TEST.RPN_PRE_NMS_TOP_N", "-1", "TEST.RPN_POST_NMS_TOP_N", "2000")


def _run(options: Options) -> int:
    from caffelite.atomic import check_target, make_folder
    from caffelite.boxes.config import cfg
    from caffelite.detection.imdb import configured, load_imdb, output_folder
    from caffelite.detection.proposals import recall_of, write_proposals
    from caffelite.detection.rpn_proposals import rpn_proposals
    from caffelite.model import Model

    needed(options, "def", "net")
    with configured(pairs=_ALL), settings_of(options):
        imdb = options.text("imdb")
        dataset = load_imdb(imdb, options.items("classes"))
        name = f"{Path(options.text('net')).stem}_proposals.npz"
        target = make_folder(output_folder(imdb)) / name
        check_target(target)
        net = Model.load(options.text("def"), options.text("net"), backward=False)
        limits = {"pre": cfg.TEST.RPN_PRE_NMS_TOP_N, "post": cfg.TEST.RPN_POST_NMS_TOP_N}
        found = rpn_proposals(net, cfg, dataset.pictures, **limits)
    write_proposals(target, found)
    print(recall_of(dataset, found).text())
    print(f"Wrote {target}")
    return 0


COMMAND = Command(
    "proposals of a region proposal network, and their recall",
    _run,
    (DEF, NET, TEST_IMDB, *COMMON),
    text="Writes output/EXP_DIR/IMDB/NET_proposals.npz: up to 2000 boxes of each picture, before whose suppression none is left "
    "out, unless TEST.RPN_PRE_NMS_TOP_N and TEST.RPN_POST_NMS_TOP_N are set.",
    examples=("tools/rpn_generate.py --def rpn_test.pt --net zf_rpn.caffemodel --imdb voc_2007_trainval",),
)
