"""Training of R-CNN: a net is fine-tuned on windows, then SVMs and box regression learn from its features.

RUN/proposals_train.npz    where no proposals were given
RUN/windows_train.txt      what the WindowData layer reads
RUN/features/              may be deleted after training
RUN/rcnn.npz               SVMs and box regression
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.detection.card import Card
from caffelite.detection.config import cfg
from caffelite.detection.dataset import DetectionSet
from caffelite.detection.finetune import take_weights
from caffelite.detection.rcnn.bbox_regression import OVERLAP, train_regression
from caffelite.detection.rcnn.crop_net import CropNet, digest, window_layer
from caffelite.detection.rcnn.features import FeatureCache
from caffelite.detection.rcnn.machines import Machines
from caffelite.detection.rcnn.regions import regions_of
from caffelite.detection.rcnn.svm import RCNN, SvmOptions, require_liblinear, train_svms
from caffelite.detection.rcnn.windows import write_windows
from caffelite.detection.run_folder import WEIGHTS, recording
from caffelite.detection.settings import settings as configured
from caffelite.detection.training import (
    SOLVER,
    Order,
    Proposals,
    Stage,
    find,
    solve,
    solver_source,
    state_to_resume,
)
from caffelite.logs.log import get_log
from caffelite.prototxt.source import NetSource, SolverSource
from caffelite.solver.solver import Solver
from caffelite.types import Phase

PROPOSALS, WINDOWS, FEATURES = "proposals_train.npz", "windows_train.txt", "features"
_EVERY = 100  # pictures between lines of progress


def train_rcnn(
    home: Path, dataset: DetectionSet, card: Card, order: Order, proposals: Proposals | None = None
) -> Path:
    """Trains in a run's folder; returns ``detector.caffemodel``, or the last snapshot's weights if a signal stopped it.

    ``proposals``: key -> boxes and scores, by default those of the card's method, which are kept in the folder.

    Raises:
        UsageError: scikit-learn is not installed; told before anything is trained.
        DataError: pictures without proposals, or nothing to learn from.
        and what nets, solvers and features raise.
    """
    require_liblinear()
    stage = Stage(find(home, SOLVER, "*solver*"), home, home / WEIGHTS)
    with recording(home):
        found = proposals if proposals is not None else _proposed(home, dataset, card)
    write_windows(home / WINDOWS, dataset, found)
    result = _fine_tuned(stage, card, order)
    if result == stage.result:
        with recording(home):
            machines = learn_machines(home, dataset, card, found, engine=dict(order.engine))
            _tell(f"Wrote {machines.write(home)}")
    return result


def _proposed(home: Path, dataset: DetectionSet, card: Card) -> Proposals:
    """The proposals that an earlier part of the run has kept, or new ones."""
    from caffelite.detection.proposals import propose_all, read_proposals, write_proposals

    file = home / PROPOSALS
    if file.exists():
        kept = read_proposals(file, dataset)
        if all(picture.key in kept for picture in dataset.pictures):
            _tell(f"Proposals of {file}")
            return kept
    found = {}
    for key, boxes in propose_all(dataset.pictures, card.proposals or "ss"):
        found[key] = boxes
        if len(found) % _EVERY == 0:
            _tell(f"proposals of {len(found)} of {len(dataset)} pictures")
    write_proposals(file, found)
    return found


# -- the net -------------------------------------------------------------------------------------------------


def _fine_tuned(stage: Stage, card: Card, order: Order) -> Path:
    state = state_to_resume(stage, order)
    source, net = solver_source(stage, order)
    _use_windows(source, net, stage.folder / WINDOWS)
    types = {layer.type for layer in net.message.layer}
    with configured(card, order.settings, types), recording(stage.folder):
        if not source.message.snapshot:
            source.message.snapshot = cfg.TRAIN.SNAPSHOT_ITERS
        with closing(Solver(source, observe=False, **order.engine)) as solver:
            if state:
                solver.restore(state)
            elif order.weights:
                take_weights(solver.net, order.weights, card.classes, None)
            return solve(solver, stage)


def _use_windows(source: SolverSource, net: NetSource, windows: Path) -> None:
    """Lets the net's layers for training read a window file, from wherever the program runs."""
    window_layer(net)
    for layer in net.message.layer:
        testing = any(rule.HasField("phase") and rule.phase == Phase.TEST for rule in layer.include)
        if layer.type == "WindowData" and not testing:
            layer.window_data_param.source, layer.window_data_param.root_folder = str(windows.resolve()), ""
    p = source.message
    name = "train_net" if p.HasField("train_net") else "net"
    p.ClearField(name)
    getattr(p, f"{name}_param").CopyFrom(net.message)


# -- SVMs and box regression ---------------------------------------------------------------------------------


def learn_machines(
    home: Path,
    dataset: DetectionSet,
    card: Card,
    proposals: Proposals,
    options: SvmOptions = RCNN,
    *,
    precision: str = "float16",
    **net_options: Any,
) -> Machines:
    """SVMs and box regression for the net in a detector's folder; its features are kept in ``features`` there.

    ``precision``: of the features on disk. Raises what :func:`train_svms` and the net do.
    """
    weights = home / WEIGHTS
    net = CropNet.load(home, weights, **net_options)
    regions = regions_of(dataset.pictures, proposals)
    cache = FeatureCache(net, digest(net.identity, weights.read_bytes()), home / FEATURES, precision)
    everything = [np.arange(len(one.boxes)) for one in regions]
    near = [one.near(OVERLAP)[0] for one in regions]
    of_all, of_near = cache.extract(regions, [(net.svm_blob, everything), (net.box_blob, near)], _tell)
    svms = train_svms(regions, of_all, card.classes, options, _tell)
    _tell(f"box regression of {sum(map(len, near))} proposals")
    regression = train_regression(regions, of_near, len(card.classes), seed=options.seed)
    return Machines(card.classes, net.svm_blob, net.box_blob, svms, regression)


def _tell(text: str) -> None:
    get_log().emit("message", text, "train.py:1")
