"""What each planning pass is worth: one training pass and the plan's memory with the pass left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.step import WARM_UP, fill_inputs, timed
from caffelite.cpu.engine import CpuEngine
from caffelite.cpu.threads import set_threads
from caffelite.model import Model
from caffelite.prototxt.source import read_net
from caffelite.types import Phase


class PlainEngine(CpuEngine):
    """The CPU engine with all activations in C order."""

    channels_last = False


VARIANTS: dict[str, dict[str, Any]] = {
    "all passes": {},
    "without fusion": {"fuse": False},
    "without layouts": {"engine": PlainEngine()},
    "without reuse": {"observe": True},
}


def compare_plans(net: Path, iterations: int, rounds: int, threads: int) -> Iterator[str]:
    """One line a variant: median ms of forward and backward, MiB of blobs, both beside the full plan."""
    set_threads(threads)
    models = {name: _model(net, options) for name, options in VARIANTS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            seconds[name] += [timed(lambda model=model: _pass(model), model.engine) for _ in range(iterations)]
    full = median(seconds["all passes"])
    for name, model in models.items():
        ms, mib = 1e3 * median(seconds[name]), model.executor.plan.total_bytes / 2**20
        yield f"{net.stem:<12} {name:<16} {ms:9.2f} ms  {ms / 1e3 / full:5.2f}x  {mib:8.1f} MiB"


def _model(net: Path, options: dict[str, Any]) -> Model:
    model = Model(read_net(net), Phase.TRAIN, **{"observe": False, "seed": 1} | options)
    fill_inputs(model)
    for _ in range(WARM_UP):
        _pass(model)
    return model


def _pass(model: Model) -> None:
    model.clear_grads()
    model.forward()
    model.backward()
