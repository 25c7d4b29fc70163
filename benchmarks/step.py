"""Our side: training steps and inference on a net whose inputs are Input layers."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from caffelite.cpu.threads import set_threads
from caffelite.engine import get_engine
from caffelite.graph.build import build_graph
from caffelite.model import Model
from caffelite.plan.kernel import Engine
from caffelite.prototxt.source import parse_solver, read_net
from caffelite.solver.solver import Solver
from caffelite.types import Phase

WARM_UP = 5


def time_steps(net: Path, iterations: int, threads: int, precision: str) -> list[float]:
    """Seconds of each training step (forward, backward, update) after a warm-up."""
    set_threads(threads)
    return training_seconds(net, iterations, get_engine("cpu", precision))


def training_seconds(net: Path, iterations: int, engine: Engine) -> list[float]:
    """Seconds of each training step on an engine."""
    text = f'net: "{net}" base_lr: 1e-4 lr_policy: "fixed" momentum: 0.9 weight_decay: 5e-4 max_iter: 1000000 snapshot_after_train: false random_seed: 1'
    solver = Solver(parse_solver(text, "benchmark"), engine=engine, observe=False)
    fill_inputs(solver.net)
    solver.step(WARM_UP)
    return [timed(lambda: solver.step(1), engine) for _ in range(iterations)]


def time_inference(net: Path, iterations: int, threads: int, precision: str) -> list[float]:
    """Seconds of each forward pass after a warm-up."""
    set_threads(threads)
    return inference_seconds(net, iterations, get_engine("cpu", precision))


def inference_seconds(net: Path, iterations: int, engine: Engine) -> list[float]:
    """Seconds of each forward pass on an engine."""
    model = Model(read_net(net), Phase.TEST, engine=engine, observe=False, backward=False)
    fill_inputs(model)
    for _ in range(WARM_UP):
        model.forward()
    return [timed(model.forward, engine) for _ in range(iterations)]


def describe(net: Path) -> list[dict[str, Any]]:
    """The net's layers as plain data for the peer."""
    layers = []
    for node in build_graph(read_net(net), Phase.TRAIN).nodes:
        fields = (
            {field.name: _plain(value) for field, value in node.layer.p.ListFields()} if node.layer.p else {}
        )
        layers.append(
            {
                "name": node.name, "type": node.type, "fields": fields,
                "bottoms": [value.name for value in node.bottoms], "tops": [value.name for value in node.tops],
                "shapes": [value.shape for value in node.tops], "params": [param.shape for param in node.layer.params],
            }
        )  # fmt: skip
    return layers


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float | bool):
        return value
    if hasattr(value, "ListFields"):
        return {field.name: _plain(inner) for field, inner in value.ListFields()}
    return [_plain(item) for item in value]


def fill_inputs(model: Model) -> None:
    rng = np.random.default_rng(1)
    for name in model.graph.inputs:
        blob = model.input(name)
        blob[...] = rng.integers(0, 10, blob.shape) if "label" in name else rng.standard_normal(blob.shape)


def timed(call: Any, engine: Engine) -> float:
    """Seconds until the engine has done what a call asks for."""
    engine.synchronize()
    began = perf_counter()
    call()
    engine.synchronize()
    return perf_counter() - began
