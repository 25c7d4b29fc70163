"""A training run in a process of its own: ``train.py FOLDER [STATE]``. Prints each iteration as it is done."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from caffelite.logs.log import Log
from caffelite.prototxt.source import read_solver
from caffelite.solver.signals import handle_signals
from caffelite.solver.solver import Solver


def main(folder: str, state: str | None = None) -> None:
    solver = Solver(read_solver(Path(folder) / "solver.prototxt"), engine="reference", log=Log(), root=folder)

    def say() -> None:
        print(solver.iter, flush=True)
        time.sleep(0.002)

    solver.on_gradients_ready.append(say)
    with handle_signals(solver):
        solver.solve(state)
    print("stopped" if solver.stopped else "done", solver.iter, flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
