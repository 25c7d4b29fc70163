"""``caffelite train``: trains the net of a solver file."""

from __future__ import annotations

import shlex
from contextlib import ExitStack, closing, nullcontext
from typing import TYPE_CHECKING

from caffelite.cli.command import ENGINE, STATE, Command, apply_engine, engine_name, require_files, required
from caffelite.cli.flags import Flag, Options
from caffelite.engine import get_engine
from caffelite.errors import DeviceError, UsageError
from caffelite.logs.log import get_log
from caffelite.logs.run_dir import SOLVER, RunDir
from caffelite.prototxt.source import SolverSource, read_solver

if TYPE_CHECKING:
    from caffelite.solver.solver import Solver

_EFFECTS = ("stop", "snapshot", "none")


def _run(options: Options) -> int:
    path = required(options, "solver", "Need a solver definition to train.")
    if options.text("snapshot") and options.text("weights"):
        raise UsageError("Give a snapshot to resume training or weights to finetune but not both.")
    require_files(options, "snapshot", "weights")
    apply_engine(options)
    source = read_solver(path)
    _apply_state(source, options)
    _apply_test_flags(source, options)
    run_dir = _run_dir(source, options)
    recording = run_dir.recording() if run_dir else nullcontext()
    with recording, closing(_ready(source, options, run_dir)) as solver:
        train(solver, options.text("sigint_effect"), options.text("sighup_effect"))
        if solver.stopped and not solver.out_of_patience:
            _tell_how_to_go_on(solver, options, str(run_dir.path / SOLVER) if run_dir else path)
    return 0


def _run_dir(source: SolverSource, options: Options) -> RunDir | None:
    if not options.text("run-dir"):
        return None
    run_dir = RunDir(options.text("run-dir"), options.text("snapshot"))
    with ExitStack() as undo:
        undo.callback(run_dir.discard)
        run_dir.adopt(source)
        undo.pop_all()
    return run_dir


def _ready(source: SolverSource, options: Options, run_dir: RunDir | None) -> Solver:
    """The solver with its nets, resumed or with weights. If that fails, the run directory stays free."""
    with ExitStack() as undo:
        if run_dir:
            undo.callback(run_dir.discard)
        solver = _solver(source, options)
        undo.callback(solver.close)
        _prepare(solver, options)
        undo.pop_all()
    return solver


def _tell_how_to_go_on(solver: Solver, options: Options, path: str) -> None:
    """Logs the command that resumes a stopped run."""
    text = f"Iteration {solver.iter} is not saved: there is no snapshot of it to go on from"
    if solver.saved_state:
        others = sorted(options.given - {"solver", "snapshot", "weights"})
        words = [f"--{name}={options.text(name)}" for name in others]
        command = ["caffelite", "train", "-solver", path, "-snapshot", solver.saved_state, *words]
        text = f"To go on: {shlex.join(command)}"
    get_log().emit("message", text, "caffe.cpp:250")


def _apply_state(source: SolverSource, options: Options) -> None:
    """-level, -stage and -seed replace or add to what the file says, for the training net."""
    if options.has("level"):
        source.message.train_state.level = options.integer("level")
    if options.items("stage"):
        source.message.train_state.stage.extend(options.items("stage"))
    if options.has("seed"):
        source.message.random_seed = options.integer("seed")


def _apply_test_flags(source: SolverSource, options: Options) -> None:
    """--keep-best, --patience and --monitor replace what the file says."""
    if options.has("keep-best"):
        source.message.keep_best = options.switch("keep-best")
    if options.has("patience"):
        source.message.patience = options.integer("patience")
    if options.has("monitor"):
        source.message.monitor = options.text("monitor")


def _solver(source: SolverSource, options: Options) -> Solver:
    from caffelite.solver.solver import Solver

    engine = get_engine(_engine_for(source, options), options.text("precision"))
    gpu = getattr(engine, "device", None)
    get_log().emit("device", f"Using GPU: {gpu.name}" if gpu else "Use CPU.", "caffe.cpp:197")
    return Solver(source, engine=engine, observe=False)


def _engine_for(source: SolverSource, options: Options) -> str:
    """The engine of the flags; without any, that of ``solver_mode`` and ``device_id``, if this machine has it."""
    p = source.message
    if options.has("gpu") or options.has("engine") or not p.HasField("solver_mode") or p.solver_mode != p.GPU:
        return engine_name(options)
    try:
        get_engine(name := f"cuda:{p.device_id}", options.text("precision"))
    except DeviceError as error:
        get_log().emit("message", f"solver_mode: GPU: {str(error).splitlines()[0]}", "caffe.cpp:197")
        return "cpu"
    return name


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
        "end", "Optimization Done.", "caffe.cpp:250", iteration=solver.iter, stopped=solver.stopped
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
        Flag("keep-best", False, "write PREFIX_best.caffemodel after each test that is the best so far"),
        Flag("patience", 0, "end the run after so many tests in a row without a better one; 0: never", "N"),
        Flag(
            "monitor",
            "",
            "output of the test net that says what is better (an accuracy, else a loss)",
            "OUTPUT",
        ),
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
        "caffelite train -solver solver.prototxt --keep-best --patience 10",
    ),
)
