"""Faster R-CNN in four steps, as it was first published.

1. A region proposal network (RPN) learns, from the weights given; it proposes regions.
2. A Fast R-CNN learns from them, again from the weights given.
3. The RPN learns anew on the body of 2, which stays as it is; it proposes regions.
4. The Fast R-CNN learns from those, on the same body.

Each step is a run in a folder of its own (``RUN/stage1_rpn`` ...), ended when its ``detector.caffemodel`` is there:
a run that is resumed begins with the first step that is not. At last the weights of 3 and 4 become one file for
``test.prototxt``.

Source: Ren et al., "Faster R-CNN" (2015), section 3.2; ``train_faster_rcnn_alt_opt.py`` of py-faster-rcnn, whose
prototxts work as they are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from caffelite.atomic import make_folder
from caffelite.detection.card import Card
from caffelite.detection.config import cfg
from caffelite.detection.dataset import DetectionSet
from caffelite.detection.proposals import read_proposals, write_proposals
from caffelite.detection.proposals.files import Proposals
from caffelite.detection.rpn_proposals import rpn_proposals
from caffelite.detection.run_folder import LOG, SNAPSHOTS, WEIGHTS, probe
from caffelite.detection.settings import settings as configured
from caffelite.detection.training import Order, Stage, find, train_stage
from caffelite.errors import NetError, UsageError
from caffelite.logs.caffe import FileSink
from caffelite.logs.log import get_log
from caffelite.model import Model
from caffelite.types import Phase

_REGIONS = "proposals.npz"
_BEFORE, _AFTER = -1, 2000  # proposals of a picture before and after suppression, for training


def train_alternating(home: Path, dataset: DetectionSet, card: Card, order: Order) -> Path:
    """All four steps; returns ``detector.caffemodel``, or the last snapshot's weights if a signal stopped one.

    ``order.resume``: "auto" only, since each step has its own solver states. Raises what ``train`` does.
    """
    if order.resume not in ("", "auto"):
        raise UsageError(f"--resume {order.resume}: a run in four steps goes on with --resume auto")
    with get_log().to(FileSink(home / LOG)):
        return _run_all(home, _Steps(home, dataset, card, order), tuple(order.weights))


def _run_all(home: Path, steps: _Steps, given: Sequence[str | os.PathLike[str]]) -> Path:
    rpn1 = steps.run("stage1_rpn", given)
    fast1 = rpn1 and steps.run("stage1_fast", given, rpn1)
    rpn2 = fast1 and steps.run("stage2_rpn", (fast1,))
    fast2 = rpn2 and steps.run("stage2_fast", (fast1 or rpn2, rpn2), rpn2)
    return merge(home, (rpn2, fast2)) if rpn2 and fast2 else steps.stopped


class _Steps:
    def __init__(self, home: Path, dataset: DetectionSet, card: Card, order: Order):
        self._home, self._dataset, self._card, self._order = home, dataset, card, order
        self.stopped = home  # weights of the last snapshot of a step that was stopped

    def run(
        self, name: str, weights: Sequence[str | os.PathLike[str]], rpn: Path | None = None
    ) -> Path | None:
        """The weights of a step, from its folder or by training; None if a signal stopped it.

        ``rpn``: weights of the network whose proposals a Fast R-CNN learns from.
        """
        folder = make_folder(self._home / name)
        result = folder / WEIGHTS
        if result.exists():
            _say(f"{name} is done: {result}")
            return result
        _say(f"{name} begins")
        make_folder(folder / SNAPSHOTS)
        probe(folder)
        (folder / _REGIONS).unlink(missing_ok=True)  # of other weights than this step will give
        proposals = self._proposals(rpn) if rpn else None
        stage = Stage(find(self._home, f"{name}_solver*"), folder, result)
        order = replace(self._order, weights=weights)
        reached = train_stage(stage, self._dataset, self._of_step(name), order, proposals)
        if reached == result:
            return result
        self.stopped = reached
        return None

    def _of_step(self, name: str) -> Card:
        """The card as a step needs it: a Fast R-CNN learns from two images at a time, whose targets it measures."""
        if name.endswith("rpn"):
            return self._card
        config = self._card.config | {"TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED": False}
        return replace(self._card, method="fast", config=config)

    def _proposals(self, rpn: Path) -> Proposals:
        """What an RPN proposes for all pictures; kept beside its weights."""
        file = rpn.parent / _REGIONS
        if not file.exists():
            net = find(self._home, "rpn_test.*")
            _say(f"Proposals of {rpn} for {len(self._dataset)} pictures")
            with configured(self._card, self._order.settings):
                model = Model(net, Phase.TEST, backward=False, **self._order.engine)
                model.load_weights(rpn)
                found = rpn_proposals(model, cfg, self._dataset.pictures, pre=_BEFORE, post=_AFTER)
            write_proposals(file, found)
        return read_proposals(file, self._dataset)


def merge(home: Path, weights: Sequence[Path]) -> Path:
    """One file for ``test.prototxt`` from those of several nets; of a layer in several the last one's counts.

    Raises NetError for a layer that is in none of them.
    """
    net = Model(find(home, "test.prototxt", "*faster_rcnn_test*"), Phase.TEST, backward=False)
    reports = [net.load_weights(file) for file in weights]
    if missing := set.intersection(*(set(report.initial) for report in reports)):
        raise NetError(
            f"net '{net.name}' for testing: no step has learned {', '.join(sorted(missing))}\n"
            "  Fix: layers of test.prototxt must have the names that they have in the nets for training"
        )
    net.save(home / WEIGHTS)
    _say(f"Wrote {home / WEIGHTS}")
    return home / WEIGHTS


def _say(text: str) -> None:
    get_log().emit("message", text, "train.py:1")
