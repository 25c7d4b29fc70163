"""``caffelite train.py``: the arguments of Caffe's python/train.py."""

from __future__ import annotations

from contextlib import closing

from caffelite.cli.command import Command, require_files, required
from caffelite.cli.flags import Flag, Options
from caffelite.cli.train import train
from caffelite.engine import get_engine, gpu_engine
from caffelite.errors import UsageError
from caffelite.logs.log import get_log
from caffelite.prototxt.source import read_solver


def _run(options: Options) -> int:
    from caffelite.solver.solver import Solver
    from caffelite.tools.train import Timing

    engine = "cpu"
    if options.has("gpus"):
        engine = gpu_engine(" ".join([options.text("gpus"), *options.arguments]))
        get_engine(engine)
    elif options.arguments:
        raise UsageError(f"train.py: expected flags only, got '{options.arguments[0]}'\n  Fix: --solver FILE")
    path = required(options, "solver", "Need a solver definition to train.")
    require_files(options, "snapshot")
    get_log().emit("device", "Use CPU." if engine == "cpu" else f"Using {engine}", "caffe.cpp:197")
    with closing(Solver(read_solver(path), engine=engine, observe=False)) as solver:
        if options.switch("timing"):
            Timing(solver)
        if options.text("snapshot"):
            solver.restore(options.text("snapshot"))
        train(solver)
    return 0


COMMAND = Command(
    "train, with the arguments of Caffe's python/train.py",
    _run,
    (
        Flag("solver", "", "solver file (prototxt)", "FILE"),
        Flag("snapshot", "", "resume from this .solverstate or .solverstate.h5", "FILE"),
        Flag("gpus", "", "number of the GPU to compute on", "ID"),
        Flag("timing", False, "log the milliseconds of each layer at each display; layers then run unfused"),
    ),
    text="'caffelite train' does the same with more flags. Runs to max_iter, with the type that the solver "
    "file names.",
    examples=("caffelite train.py --solver solver.prototxt --timing",),
    words=(0, None),
)
