"""``caffelite time``: how long each layer takes."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from caffelite.cli.command import ENGINE, STATE, Command, apply_engine, required
from caffelite.cli.flags import Flag, Options
from caffelite.cli.nets import ITERATIONS, iterations_of, log_model, make_model
from caffelite.errors import UsageError
from caffelite.logs.log import get_log, number
from caffelite.types import Phase

if TYPE_CHECKING:
    from caffelite.executor import Times
    from caffelite.model import Model


def _run(options: Options) -> int:
    path = required(options, "model", "Need a model definition to time.")
    iterations = iterations_of(options)
    if options.text("phase") not in Phase.__members__:
        raise UsageError('phase must be "TRAIN" or "TEST"')
    apply_engine(options)
    _say("Use CPU.", 343)
    model = make_model(path, Phase[options.text("phase")], options)
    try:
        log_model(model)
        _warm_up(model)
        _benchmark(model, iterations)
    finally:
        model.close()
    return 0


def _say(text: str, line: int, **fields: Any) -> None:
    get_log().emit("time", text, f"caffe.cpp:{line}", **fields)


def _warm_up(model: Model) -> None:
    _say("Performing Forward", 351)
    loss = model.forward()
    _say(f"Initial loss: {number(loss)}", 356, loss=loss)
    _say("Performing Backward", 357)
    model.backward()


def _benchmark(model: Model, iterations: int) -> None:
    _say("*** Benchmark begins ***", 365)
    _say(f"Testing for {iterations} iterations.", 366, iterations=iterations)
    began = perf_counter()
    total = Clock(model)
    for iteration in range(1, iterations + 1):
        ms = 1e3 * total.run()
        _say(
            f"Iteration: {iteration} forward-backward time: {number(ms)} ms.", 394, iteration=iteration, ms=ms
        )
    elapsed_ms = 1e3 * (perf_counter() - began)
    _layers(model, total.times, iterations)
    for what, seconds, line in (("Forward pass", total.forward, 408), ("Backward pass", total.backward, 410)):
        ms = 1e3 * seconds / iterations
        _say(f"Average {what}: {number(ms)} ms.", line, what=what, ms=ms)
    _say(f"Average Forward-Backward: {number(elapsed_ms / iterations)} ms.", 412, ms=elapsed_ms / iterations)
    _say(f"Total Time: {number(elapsed_ms)} ms.", 414, ms=elapsed_ms)
    _say("*** Benchmark ends ***", 415)


class Clock:
    """Seconds spent in a model's passes, in all and for each layer."""

    def __init__(self, model: Model):
        from caffelite.executor import Times

        self.model = model
        self.times = Times([0.0] * len(model.nodes), [0.0] * len(model.nodes))
        self.forward = self.backward = 0.0

    def run(self) -> float:
        """One forward and one backward pass; returns the seconds of both."""
        self.model.follow_sources()  # may bring in the executor of another shape
        self.model.executor.times = self.times
        began = perf_counter()
        self.model.forward()
        middle = perf_counter()
        self.model.backward()
        end = perf_counter()
        self.forward += middle - began
        self.backward += end - middle
        return end - began


def _layers(model: Model, times: Times, iterations: int) -> None:
    _say("Average time per layer: ", 397)
    for node in model.nodes:
        passes = (("forward", times.forward, 400), ("backward", times.backward, 403))
        for what, seconds, line in passes:
            ms = 1e3 * seconds[node.index] / iterations
            text = f"{node.name:>10}\t{what}: {number(ms)} ms."
            get_log().emit("layer_time", text, f"caffe.cpp:{line}", layer=node.name, direction=what, ms=ms)
    fused = [step.node.name for step in model.executor.plan.steps if step.absorbed_by]
    if fused:
        _say(f"Computed inside the layer before, and timed there: {', '.join(fused)}", 403)


COMMAND = Command(
    "time each layer of a net, forward and backward",
    _run,
    (
        Flag("model", "", "net file (prototxt)", "FILE"),
        ITERATIONS,
        Flag("phase", "TRAIN", "phase of the net: TRAIN or TEST", "PHASE"),
        Flag(
            "weights",
            "",
            "taken for Caffe's sake and not read: values do not change the time",
            "FILE",
            hidden=True,
        ),
        *STATE,
        *ENGINE,
    ),
    text="Weights are random. Layers are timed as training runs them: what a layer computes together with "
    "the one before it counts there. In a net without a loss all gradients are computed, as with "
    "force_backward.",
    examples=("caffelite time -model train_val.prototxt -iterations 10",),
)
