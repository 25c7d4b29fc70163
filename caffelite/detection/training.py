"""Training of Fast and Faster R-CNN: a folder of nets and a data set in, ``detector.caffemodel`` out.

    train("recipe", load_set("DATA", "train"), run="runs/1")

The solver is the one of every net; what is special is the roidb that its data layer gets, box targets that are
normalised while the head learns and folded into all weights that are written (see ``heads``), and what a run that
diverges says. A run that is resumed gives the same bits as one that was never stopped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from caffelite.boxes.boxes import Array
from caffelite.detection.card import Card
from caffelite.detection.class_counts import check_classes_of_nets
from caffelite.detection.config import cfg
from caffelite.detection.dataset import DetectionSet
from caffelite.detection.finetune import check_weights, take_weights
from caffelite.detection.guard import explained
from caffelite.detection.heads import Folding, Normalisation, find_heads
from caffelite.detection.roidb import make_roidb, normalisation, normalise
from caffelite.detection.run_folder import (
    SNAPSHOTS,
    WEIGHTS,
    card_in,
    kept_settings,
    newest_state,
    open_run,
    recording,
)
from caffelite.detection.settings import settings as configured
from caffelite.detection.settings import with_settings
from caffelite.errors import MissingFileError, NotFiniteError, UsageError
from caffelite.logs.log import get_log
from caffelite.model import Model
from caffelite.prototxt.source import NetSource, SolverSource, read_net, read_solver
from caffelite.prototxt.write import write_text
from caffelite.random import RandomSource
from caffelite.solver.signals import handle_signals
from caffelite.solver.solver import Solver
from caffelite.weights import load_state

Proposals = Mapping[str, tuple[Array, Array]]
Path_ = str | os.PathLike[str]

SOLVER = "solver.prototxt"
_JOINT = {"TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED": True, "TRAIN.BG_THRESH_LO": 0.0}


@dataclass(frozen=True)
class Order:
    """What is asked of a run besides its files."""

    weights: Sequence[Path_] = ()
    resume: str = ""  # "auto", or a solver state
    iterations: int | None = None
    seed: int | None = None
    settings: Sequence[str] = ()
    engine: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One training of one net. ``folder`` gets snapshots and logs, ``result`` the weights."""

    solver: Path
    folder: Path
    result: Path


def train(
    folder: Path_,
    dataset: DetectionSet,
    *,
    run: Path_,
    card: Card | None = None,
    weights: Path_ | Sequence[Path_] | None = None,
    proposals: Path_ | Proposals | None = None,
    resume: str = "",
    iterations: int | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    validation: DetectionSet | None = None,
    pictures: int = 8,
    **engine: Any,
) -> Path:
    """Trains the detector of a folder on a set whose labels are those of its card; returns ``detector.caffemodel``.

    ``run``: folder that is made a detector's folder of its own, tried out before anything else; may be ``folder``.
    ``card``: for a folder without detector.json; by default that of a run that goes on. ``weights``: to begin with; layers whose size depends on other
    classes are learned anew. ``proposals``: file or mapping, for methods rcnn and fast. ``resume``: "auto" goes on from the newest
    snapshot in ``run``, and begins if there is none; or a solver state. ``settings``: of ``cfg``, in the form of
    ``--set``; a run that goes on has those that it began with, and over them these. ``pictures``: so many of ``validation``, or of the set, are drawn with what is found in them. ``engine``:
    options of Model. A run that is stopped by a signal returns its last snapshot's weights.

    Raises:
        UsageError: the folder holds another run, or trained weights and nothing to resume from; the set has other
            classes; a setting that there is not.
        DataError: boxes or proposals that cannot be used.
        MissingFileError: a file of weights is not there.
        NotFiniteError: the run diverged; names iteration, pictures and boxes.
        SnapshotError: the run's folder cannot be written to.
        and what nets and solvers raise.
    """
    card = card or (card_in(run) if resume else None) or Card.read(folder)
    check_classes(card, dataset)
    files = [weights] if isinstance(weights, str | os.PathLike) else list(weights or ())
    check_weights(files)
    found = read_regions(proposals, dataset)
    if card.method == "fast" and found is None:
        raise UsageError(
            "method fast needs proposals\n  Fix: caffelite det propose DATA -split SPLIT -o FILE, then --proposals FILE"
        )
    if card.has_rpn and found is not None:
        raise UsageError(f"--proposals: a detector of method {card.method} finds its own")
    card = with_settings(card, settings)
    home = open_run(folder, run, card, resume)
    order = Order(files, resume, iterations, seed, kept_settings(home, settings), engine)
    check_nets(home, card)
    if card.method == "faster-4step":
        from caffelite.detection.alternating import train_alternating

        result: Path = train_alternating(home, dataset, card, order)
    elif card.method == "rcnn":
        from caffelite.detection.rcnn.training import train_rcnn

        result = train_rcnn(home, dataset, card, order, found)
    else:
        stage = Stage(find(home, SOLVER, "*solver*"), home, home / WEIGHTS)
        if card.method == "faster":
            card = replace(card, config=_JOINT | card.config)
        result = train_stage(stage, dataset, card, order, found)
    if result.name == WEIGHTS and pictures:
        from caffelite.detection.run_pictures import draw_found

        draw_found(home, validation or dataset, pictures, None if validation else found)
    return result


def check_classes(card: Card, dataset: DetectionSet) -> None:
    """Raises UsageError unless a set's labels are those of a card."""
    ours, theirs = ([name.lower() for name in names] for names in (card.classes, dataset.classes))
    if ours != theirs:
        raise UsageError(
            f"expected the detector's classes {', '.join(card.classes)} in this order, got {', '.join(dataset.classes)}\n"
            "  Fix: load_set(path, split, classes=card.classes)"
        )


def check_nets(folder: Path, card: Card) -> None:
    """Raises NetError for nets that do not suit the classes or each other, MissingFileError if one is not there."""
    steps = card.method == "faster-4step"
    solvers = sorted(folder.glob("stage*_solver*")) if steps else [find(folder, SOLVER, "*solver*")]
    test = find(folder, "test.prototxt", "*faster_rcnn_test*")
    check_classes_of_nets(folder, solvers, test, card.classes)


def read_regions(proposals: Path_ | Proposals | None, dataset: DetectionSet) -> Proposals | None:
    """Proposals from a file, or as they are."""
    from caffelite.detection.proposals import read_proposals

    return read_proposals(proposals, dataset) if isinstance(proposals, str | os.PathLike) else proposals


def find(folder: Path, *patterns: str) -> Path:
    """The first file that fits the first pattern that any fits. Raises MissingFileError."""
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            return path
    raise MissingFileError(folder / patterns[0], "prototxt", "caffelite det init makes a detector's folder")


# -- one stage -----------------------------------------------------------------------------------------------


def train_stage(
    stage: Stage, dataset: DetectionSet, card: Card, order: Order, proposals: Proposals | None = None
) -> Path:
    """Trains one net; returns ``stage.result``, or, if a signal stopped it, the weights of its last snapshot."""
    state = state_to_resume(stage, order)
    source, net = solver_source(stage, order)
    types = {layer.type for layer in net.message.layer}
    with configured(card, order.settings, types), recording(stage.folder):
        if not source.message.snapshot:
            source.message.snapshot = cfg.TRAIN.SNAPSHOT_ITERS
        with closing(DetectionSolver(source, observe=False, **order.engine)) as solver:
            solver.feed(dataset, card, proposals)
            if state:
                solver.restore(state)
            elif order.weights:
                take_weights(solver.net, order.weights, card.classes, solver.folding)
            return solve(solver, stage)


def solve(solver: Solver, stage: Stage) -> Path:
    """Trains to the end and writes ``stage.result``; returns its last snapshot's weights instead if a signal stops it."""
    with handle_signals(solver):
        solver.solve()
    if solver.stopped:
        if solver.saved_state is None:  # stopped before the first iteration
            solver.snapshot()
        stopped = Path(str(solver.saved_state).replace(".solverstate", ".caffemodel"))
        get_log().emit(
            "message", f"Stopped at iteration {solver.iter}. To go on: --resume auto", "train.py:1"
        )
        return stopped
    with solver.as_saved():
        solver.net.save(stage.result)
    get_log().emit("message", f"Wrote {stage.result}", "train.py:1")
    return stage.result


def state_to_resume(stage: Stage, order: Order) -> Path | None:
    """The solver state that an order goes on from.

    Raises UsageError where a run would begin anew over the weights that it has made.
    """
    if order.resume != "auto":
        return Path(order.resume) if order.resume else None
    state = newest_state(stage.folder)
    if state is None and stage.result.exists():
        raise UsageError(
            f"'{stage.result}' is trained, but there is no snapshot to resume from: a new run would write over it\n"
            "  Fix: name another folder (-o), or move these weights away"
        )
    text = f"Resuming from {state}" if state else f"Nothing to resume in {stage.folder}: the run begins"
    get_log().emit("resume", text, "train.py:1")
    return state


def solver_source(stage: Stage, order: Order) -> tuple[SolverSource, NetSource]:
    """The solver as the run uses it, which is also written to the stage's folder, and its net.

    It snapshots into the folder and after training, and has a seed, so that the files repeat the run.
    """
    source = read_solver(stage.solver)
    p = source.message
    name = "train_net" if p.HasField("train_net") else "net"
    net = stage.solver.parent / Path(getattr(p, name)).name
    if not getattr(p, name) or not net.exists():
        raise MissingFileError(net, f"net of '{stage.solver}'", "put it beside the solver file")
    p.max_iter = p.max_iter if order.iterations is None else order.iterations
    if p.max_iter < 1:
        raise UsageError(f"'{stage.solver}' has no max_iter\n  Fix: --iterations N")
    p.random_seed = RandomSource(p.random_seed if order.seed is None else order.seed).seed
    setattr(p, name, net.name)
    prefix = Path(p.snapshot_prefix).name or "net"
    p.snapshot_prefix = f"{SNAPSHOTS}/{prefix}"
    _write(stage.solver, write_text(p))
    setattr(p, name, str(net))
    p.snapshot_prefix, p.snapshot_after_train = str(stage.folder / SNAPSHOTS / prefix), True
    return source, read_net(net)


def _write(path: Path, text: str) -> None:
    from caffelite.atomic import atomic_write

    with atomic_write(path) as file:
        file.write(text.encode())


class DetectionSolver(Solver):
    """A solver whose net learns from a roidb, and whose weights files hold box codes in pixels' terms."""

    folding: Folding | None = None

    def feed(self, dataset: DetectionSet, card: Card, proposals: Proposals | None) -> None:
        """Gives the data layer its images, and finds out how box targets are normalised."""
        layer, classes = self.data_layer, len(card.classes) + 1
        regions = None if _wants_boxes(layer) else _required(proposals)
        roidb = make_roidb(dataset, flipped=cfg.TRAIN.USE_FLIPPED, proposals=regions, num_classes=classes)
        of_roidb = None
        if regions is not None:
            of_roidb = normalisation(roidb, classes)
            normalise(roidb, *of_roidb)
        layer.set_roidb(roidb)
        self._fold(of_roidb)

    def _fold(self, of_roidb: tuple[Array, Array] | None) -> None:
        heads = find_heads(self.net.graph)
        norm = Normalisation.of(heads, of_roidb)
        if heads.boxes is not None and norm is not None:
            self.folding = Folding(self.net, heads.boxes, norm)
            self.as_saved = self.folding.folded

    @property
    def data_layer(self) -> Any:
        """The object of the Python layer that takes a roidb."""
        return data_layer(self.net)

    # -- what goes wrong --------------------------------------------------------------------------------

    def step(self, iterations: int = 1) -> None:
        """As every solver's; a loss that is not finite names the pictures and boxes of the batch."""
        try:
            super().step(iterations)
        except NotFiniteError as error:
            batch = getattr(self.data_layer, "latest", ())
            raise explained(error, self.iter, self.lr, self.param, batch) from error

    # -- snapshots --------------------------------------------------------------------------------------

    def _state(self) -> Any:
        state = super()._state()
        if self.folding:
            state.extra["detection"] = self.folding.state()
        return state

    def restore(self, path: Path_) -> None:
        """As every solver's, and the head as it was before it was folded."""
        kept = load_state(path).extra.get("detection")
        if kept and self.folding:
            self.folding.check(kept, str(path))
        super().restore(str(path))
        if kept and self.folding:
            self.folding.restore(kept)


def data_layer(net: Model) -> Any:
    """The object of a net's Python layer that takes a roidb. Raises UsageError if there is none."""
    for node in net.nodes:
        if node.type == "Python" and hasattr(node.layer.session["user"], "set_roidb"):
            return node.layer.session["user"]
    raise UsageError(
        f"net '{net.name}' has no data layer that takes a roidb\n"
        "  Fix: python_param { module: 'roi_data_layer.layer' layer: 'RoIDataLayer' ... }"
    )


def _wants_boxes(layer: Any) -> bool:
    """Whether a data layer gives annotated boxes only, and no regions."""
    return bool(getattr(layer, "has_rpn", cfg.TRAIN.HAS_RPN))


def _required(proposals: Proposals | None) -> Proposals:
    if proposals is None:
        raise UsageError("the net's data layer gives regions: it needs proposals\n  Fix: --proposals FILE")
    return proposals
