"""``train_svms.py`` of py-faster-rcnn."""

from __future__ import annotations

from pathlib import Path

from caffelite.cli.command import Command
from caffelite.cli.detectors import tell
from caffelite.cli.flags import Flag, Options
from caffelite.cli.frcnn import COMMON, DEF, IMDB, NET, needed, settings_of
from caffelite.errors import UsageError


def _run(options: Options) -> int:
    from caffelite.atomic import check_target
    from caffelite.detection.imdb import load_imdb, proposals_of
    from caffelite.detection.proposals import read_proposals
    from caffelite.detection.region_svms import learn_svms
    from caffelite.model import Model

    needed(options, "def", "net")
    weights, imdb = Path(options.text("net")), options.text("imdb")
    target = weights.with_name(f"{weights.stem}_svm.caffemodel")
    check_target(target)
    with settings_of(options):
        file = options.text("proposals") or proposals_of(imdb)
        if not file:
            raise UsageError(
                f"SVMs need proposals of '{imdb}'\n  Fix: caffelite det propose DATA -o FILE.npz, then --proposals FILE.npz"
            )
        dataset = load_imdb(imdb, options.items("classes"))
        net = Model.load(options.text("def"), weights, backward=False)
        learn_svms(net, dataset, read_proposals(file, dataset), tell=tell)
    net.save(target)
    print(f"Wrote {target}\nTo test with it: test_net.py --net {target} --set TEST.SVM True")
    return 0


COMMAND = Command(
    "SVMs on a Fast R-CNN's features in place of its classifier",
    _run,
    (
        DEF,
        NET,
        IMDB,
        Flag("proposals", "", "proposals in place of data/selective_search_data", "FILE"),
        *COMMON,
    ),
    text="Writes NET_svm.caffemodel beside NET. Test it with --set TEST.SVM True.",
    examples=(
        "tools/train_svms.py --def test.prototxt --net caffenet_fast_rcnn.caffemodel --imdb voc_2007_trainval",
    ),
)
