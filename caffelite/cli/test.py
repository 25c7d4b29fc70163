"""``caffelite test``: the mean scores of a net over a number of batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from caffelite.cli.command import ENGINE, STATE, Command, apply_engine, require_files, required
from caffelite.cli.flags import Flag, Options
from caffelite.cli.nets import ITERATIONS, iterations_of, log_model, make_model
from caffelite.errors import NotFiniteError
from caffelite.logs.log import get_log, number
from caffelite.types import Phase

if TYPE_CHECKING:
    from caffelite.model import Model
    from caffelite.solver.lines import Output


def _run(options: Options) -> int:
    path = required(options, "model", "Need a model definition to score.")
    required(options, "weights", "Need model weights to score.")
    require_files(options, "weights")
    iterations = iterations_of(options)
    apply_engine(options)
    get_log().emit("device", "Use CPU.", "caffe.cpp:275")
    model = make_model(path, Phase.TEST, options, backward=False)
    try:
        log_model(model)
        for weights in options.items("weights"):
            get_log().emit("weights", str(model.load_weights(weights)), "caffe.cpp:279")
        _check_weights(model)
        _score(model, iterations)
    finally:
        model.close()
    return 0


def _check_weights(model: Model) -> None:
    from caffelite.solver.finite import first_not_finite_param

    if found := first_not_finite_param(model.learnables):
        raise NotFiniteError(f"after loading the weights: {found}\n  Fix: take a snapshot from before")


def _score(model: Model, iterations: int) -> None:
    get_log().emit("start", f"Running for {iterations} iterations.", "caffe.cpp:281", iterations=iterations)
    losses, rows = 0.0, []
    for batch in range(iterations):
        losses += _batch(model, batch)
        rows.append(_outputs(model, batch))
    get_log().emit(
        "test_loss", f"Loss: {number(losses / iterations)}", "caffe.cpp:309", loss=losses / iterations
    )
    for column in zip(*rows, strict=True):
        _mean(column[0], sum(output.value for output in column) / iterations)


def _batch(model: Model, batch: int) -> float:
    loss = model.forward()
    if not math.isfinite(loss):
        first = model.executor.first_not_finite() or "none"
        raise NotFiniteError(
            f"batch {batch}: loss is {loss:g}; first non-finite blob in forward order: {first}"
        )
    return loss


def _outputs(model: Model, batch: int) -> list[Output]:
    from caffelite.solver.lines import outputs_of

    outputs = list(outputs_of(model))
    for output in outputs:
        text = f"Batch {batch}, {output.name} = {number(output.value)}"
        get_log().emit("batch", text, "caffe.cpp:304", batch=batch, name=output.name, value=output.value)
    return outputs


def _mean(output: Output, mean: float) -> None:
    loss = f" (* {number(output.weight)} = {number(output.weight * mean)} loss)" if output.weight else ""
    text = f"{output.name} = {number(mean)}{loss}"
    get_log().emit("score", text, "caffe.cpp:321", name=output.name, value=mean, weight=output.weight)


COMMAND = Command(
    "score a net: the mean of its outputs over some batches",
    _run,
    (
        Flag("model", "", "net file (prototxt)", "FILE"),
        Flag("weights", "", "weights, with commas between; later files overwrite", "FILES"),
        ITERATIONS,
        *STATE,
        *ENGINE,
    ),
    examples=("caffelite test -model train_val.prototxt -weights net.caffemodel -iterations 100",),
)
