"""Training steps of a small Faster R-CNN on images of many sizes, and what planning them anew costs.

    python -m benchmarks.detection_step FOLDER --data DATA [--split train] [--short 240] [--steps 100]

FOLDER is one that ``caffelite det init`` has made. Images are read as ``det train`` does; nothing is written. Each line is
a setting: all as it is, without shared kernels, with graphs built from messages each time, with both, and with sizes that
are multiples of 32. ``plans`` is the share of the step that goes into graphs, plans and their binding; what a first step
with a size costs is in it. Times are the processor's, since machines are shared, on one thread.

    python -m benchmarks.detection_step --roi-pooling

measures ROIPooling alone: the tables of the CPU engine beside the array body, which must give the same numbers.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import process_time
from typing import Any
from unittest.mock import patch

import numpy as np

from caffelite.cpu.threads import set_threads
from caffelite.detection import load_set
from caffelite.detection.card import Card
from caffelite.detection.config import cfg
from caffelite.detection.roidb import make_roidb
from caffelite.detection.settings import settings
from caffelite.executor import Executor
from caffelite.model import Model
from caffelite.plan.known import KnownKernels
from caffelite.prototxt.source import parse_net, read_solver
from caffelite.solver.solver import Solver

Change = Callable[[ExitStack], None]


def _no_change(stack: ExitStack) -> None:
    """All as it is."""


def _own_kernels(stack: ExitStack) -> None:
    fresh = patch.object(Model, "_executor_for", _forgetting(Model._executor_for))
    stack.enter_context(fresh)


def _forgetting(make: Callable[..., Executor]) -> Callable[..., Executor]:
    def made(model: Model, *arguments: Any) -> Executor:
        model._known = KnownKernels()
        return make(model, *arguments)

    return made


def _graphs_from_messages(stack: ExitStack) -> None:
    stack.enter_context(patch("caffelite.model.reshaped", lambda graph, shapes: None))


def _neither(stack: ExitStack) -> None:
    _own_kernels(stack)
    _graphs_from_messages(stack)


def _multiples(stack: ExitStack) -> None:
    cfg.TRAIN.SIZE_MULTIPLE = 32


SETTINGS: dict[str, Change] = {
    "as it is": _no_change,
    "kernels not shared": _own_kernels,
    "graphs from messages": _graphs_from_messages,
    "neither": _neither,
    "sizes of 32": _multiples,
}


@contextmanager
def counted(names: Sequence[tuple[type, str]]) -> Iterator[list[float]]:
    """Adds up the seconds spent in methods that do not call each other."""
    total = [0.0]
    with ExitStack() as stack:
        for owner, name in names:
            stack.enter_context(patch.object(owner, name, _timed(getattr(owner, name), total)))
        yield total


def _timed(method: Callable[..., Any], total: list[float]) -> Callable[..., Any]:
    inside = [False]

    def run(*arguments: Any, **options: Any) -> Any:
        if inside[0]:
            return method(*arguments, **options)
        began, inside[0] = process_time(), True
        try:
            return method(*arguments, **options)
        finally:
            inside[0] = False
            total[0] += process_time() - began

    return run


def steps(folder: Path, roidb: Sequence[Any], count: int, warm: int) -> tuple[float, float, float]:
    """Milliseconds a step, of these for plans, and new plans a step."""
    with tempfile.TemporaryDirectory() as scratch:
        source = read_solver(folder / "solver.prototxt")
        source.message.snapshot, source.message.snapshot_prefix = 0, f"{scratch}/x"
        source.message.base_lr, source.message.random_seed = 5e-4, 1  # the first steps stay tame
        source.message.train_net = str(folder / "train.prototxt")
        solver = Solver(source, engine="cpu", observe=False)
    solver.net.nodes[0].layer.user.set_roidb(roidb)  # type: ignore[attr-defined]
    solver.step(warm)
    made = 0

    def counting(model: Model, *arguments: Any) -> Executor:
        nonlocal made
        made += 1
        return plain(model, *arguments)

    plain = Model._executor_for
    with (
        patch.object(Model, "_executor_for", counting),
        counted([(Model, "_use"), (Executor, "prepare_backward")]) as plans,
    ):
        began = process_time()
        solver.step(count)
        seconds = process_time() - began
    solver.close()
    return 1e3 * seconds / count, 1e3 * plans[0] / count, made / count


def compare_steps(arguments: argparse.Namespace) -> None:
    card = Card.read(arguments.folder)
    with settings(card):
        cfg.TRAIN.SCALES, cfg.TRAIN.IMS_PER_BATCH = (arguments.short or card.scales[0],), 1
        data = load_set(arguments.data, arguments.split)
        roidb = make_roidb(data, flipped=True, num_classes=len(card.classes) + 1)
        sizes = {(entry["width"], entry["height"]) for entry in roidb}
        print(f"{len(roidb)} images with mirrored ones, {len(sizes)} sizes, short side {cfg.TRAIN.SCALES[0]}")
        print(f"{'':<22}{'step / ms':>12}{'plans / ms':>12}{'share':>8}{'new plans a step':>18}")
        for name in arguments.only or SETTINGS:
            before = cfg.copied()
            with ExitStack() as stack:
                stack.callback(cfg.restore, before)
                SETTINGS[name](stack)
                step, plans, made = steps(arguments.folder, roidb, arguments.steps, arguments.warm)
            print(f"{name:<22}{step:12.1f}{plans:12.1f}{plans / step:8.0%}{made:18.2f}", flush=True)


# -- ROIPooling ---------------------------------------------------------------------------------------------

ROI_CASES = [((2, 64, 16, 16), 128, 6, 1 / 8), ((1, 512, 38, 50), 128, 7, 1 / 16)]
ROI_NET = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}
layer {{ name: "rois" type: "Input" top: "rois" input_param {{ shape {{ dim: {count} dim: 5 }} }} }}
layer {{ name: "pool" type: "ROIPooling" bottom: "x" bottom: "rois" top: "y"
  roi_pooling_param {{ pooled_h: {size} pooled_w: {size} spatial_scale: {scale} }} }}
"""


def compare_pooling(rounds: int) -> None:
    """Prints times of both passes, and fails if the results differ."""
    for shape, count, size, scale in ROI_CASES:
        answers = []
        for engine in ("cpu", "reference"):
            net = _pooling_net(shape, count, size, scale, engine)
            forward, backward = (_best(call, rounds) for call in (net.forward, net.backward))
            kernel = net.executor.plan.step("pool").kernel.name  # type: ignore[union-attr]
            print(
                f"{shape} {count} rois {size} x {size} {kernel:<7} {forward:8.2f} ms, back {backward:8.2f} ms"
            )
            dx = net.executor.diff(net.graph.blobs["x"])
            answers.append((net.blob("y").copy(), np.array(dx)))
        for ours, theirs in zip(*answers, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def _pooling_net(shape: tuple[int, ...], count: int, size: int, scale: float, engine: str) -> Model:
    dims = " ".join(f"dim: {n}" for n in shape)
    text = ROI_NET.format(dims=dims, count=count, size=size, scale=scale)
    net = Model(parse_net(text), engine=engine, force_backward=True)
    rng = np.random.default_rng(0)
    image = np.array(shape[:1:-1]) / scale  # width, height
    middles, sides = rng.uniform(0, 1, (count, 2)) * image, rng.uniform(0.1, 0.6, (count, 2)) * image
    corners = np.clip(
        np.concatenate([middles - sides / 2, middles + sides / 2], axis=1), 0, np.tile(image, 2) - 1
    )
    net.blob("x")[...] = np.maximum(rng.normal(size=shape), 0)
    net.blob("rois")[...] = np.concatenate([rng.integers(0, shape[0], (count, 1)), corners], axis=1)
    net.forward()
    net.executor.diff(net.graph.blobs["y"])[...] = rng.normal(size=net.blob("y").shape)  # type: ignore[index]
    return net


def _best(call: Callable[[], Any], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = process_time()
        call()
        times.append(process_time() - began)
    return 1e3 * min(times)


def main() -> None:
    """Prints one line a setting."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection_step", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="a folder made by caffelite det init")
    parser.add_argument("--data", help="a data set")
    parser.add_argument("--split", default="train")
    parser.add_argument(
        "--short", type=int, help="pixels of the short side, default that of the folder's card"
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--warm", type=int, default=30, help="steps before")
    parser.add_argument(
        "--only", action="append", choices=list(SETTINGS), help="this setting, may be repeated"
    )
    parser.add_argument("--roi-pooling", action="store_true")
    arguments = parser.parse_args()
    logging.getLogger("caffelite").setLevel(logging.ERROR)
    set_threads(1)
    if arguments.roi_pooling:
        compare_pooling(rounds=5)
    elif arguments.folder and arguments.data:
        compare_steps(arguments)
    else:
        parser.error("expected FOLDER and --data, or --roi-pooling")


if __name__ == "__main__":
    main()
