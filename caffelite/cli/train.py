"""``caffelite train``: trains the net of a solver file."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from caffelite.cli.command import ENGINE, STATE, Command, apply_engine, required
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError
from caffelite.logs.log import get_log
from caffelite.prototxt.source import SolverSource, read_solver

if TYPE_CHECKING:
    from caffelite.solver.solver import Solver

_EFFECTS = ("stop", "snapshot", "none")


def _run(options: Options) -> int:
    path = required(options, "solver", "Need a solver definition to train.")
    if options.text("snapshot") and options.text("weights"):
        raise UsageError("Give a snapshot to resume training or weights to finetune but not both.")
    apply_engine(options)
    source = read_solver(path)
    _apply_state(source, options)
    run_dir = None
    if options.text("run-dir"):
        from caffelite.logs.run_dir import RunDir

        run_dir = RunDir(options.text("run-dir"))
        run_dir.adopt(source)
    with run_dir.recording() if run_dir else nullcontext():
        get_log().emit("device", "Use CPU.", "caffe.cpp:197")
        solver = _solver(source, options)
        try:
            _prepare(solver, options)
            train(solver, options.text("sigint_effect"), options.text("sighup_effect"))
        finally:
            solver.close()
    return 0


def _apply_state(source: SolverSource, options: Options) -> None:
    """-level, -stage and -seed replace or add to what the file says, for the training net."""
    if options.has("level"):
        source.message.train_state.level = options.integer("level")
    if options.items("stage"):
        source.message.train_state.stage.extend(options.items("stage"))
    if options.has("seed"):
        source.message.random_seed = options.integer("seed")


def _solver(source: SolverSource, options: Options) -> Solver:
    from caffelite.solver.solver import Solver

    return Solver(source, engine=options.text("engine"), precision=options.text("precision"), observe=False)


def _prepare(solver: Solver, options: Options) -> None:
    """Resumes from a snapshot or takes over weights."""
    if options.text("snapshot"):
        get_log().emit("resume", f"Resuming from {options.text('snapshot')}", "caffe.cpp:235")
        solver.restore(options.text("snapshot"))
    for weights in options.items("weights"):
        solver.load_weights(weights)


def train(solver: Solver, sigint: str = "stop", sighup: str = "snapshot") -> None:
    """Trains to the end, or until a signal asks to stop."""
    from caffelite.solver.signals import handle_signals

    with handle_signals(solver, sigint, sighup):
        get_log().emit("optimize", "Starting Optimization", "caffe.cpp:239")
        solver.solve()
    get_log().emit(
        "done", "Optimization Done.", "caffe.cpp:250", iteration=solver.iter, stopped=solver.stopped
    )


COMMAND = Command(
    "train the net of a solver file, resume a run, or finetune from weights",
    _run,
    (
        Flag("solver", "", "solver file (prototxt)", "FILE"),
        Flag("snapshot", "", "resume from this .solverstate or .solverstate.h5", "FILE"),
        Flag("weights", "", "start from these weights, with commas between; later files overwrite", "FILES"),
        Flag("run-dir", "", "folder for solver and nets as used, log, metrics.csv and snapshots", "DIR"),
        Flag(
            "sigint_effect", "stop", "what SIGINT (Ctrl-C) does: stop, snapshot or none", "EFFECT", _EFFECTS
        ),
        Flag("sighup_effect", "snapshot", "what SIGHUP does: stop, snapshot or none", "EFFECT", _EFFECTS),
        *STATE,
        *ENGINE,
    ),
    text="Ctrl-C writes a snapshot and stops after the iteration at hand; a second one stops at once. "
    "SIGHUP writes a snapshot and goes on, SIGTERM writes one and stops. A run that is resumed from "
    "its snapshot gives the same numbers as one that was never stopped.",
    examples=(
        "caffelite train -solver models/lenet/solver.prototxt",
        "caffelite train -solver solver.prototxt -snapshot net_iter_5000.solverstate",
        "caffelite train -solver solver.prototxt -weights net.caffemodel --run-dir runs/1",
    ),
)
