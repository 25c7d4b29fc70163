"""The lines of Caffe's training log, letter for letter, each with its machine-readable fields.

All texts of ``solver.cpp`` and ``sgd_solver.cpp`` stand here, so that the loop can be read without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from caffelite.logs.log import Log, number
from caffelite.model import Model


@dataclass(frozen=True)
class Output:
    """One number of a net's outputs; ``index`` counts numbers over all outputs, as Caffe's log does."""

    index: int
    name: str
    value: float
    weight: float  # of the loss; 0 for none

    @property
    def text(self) -> str:
        loss = f" (* {number(self.weight)} = {number(self.weight * self.value)} loss)" if self.weight else ""
        return f"#{self.index}: {self.name} = {number(self.value)}{loss}"


def outputs_of(net: Model) -> Iterator[Output]:
    """The numbers in a net's outputs, as the last pass left them."""
    index = 0
    for name, array in net.outputs().items():
        weight = net.graph.blobs[name].loss_weight
        for value in array.reshape(-1):
            yield Output(index, name, float(value), weight)
            index += 1


class Lines:
    """Writes a training run's lines to a log."""

    def __init__(self, log: Log):
        self.log = log

    def message(self, text: str, where: str = "solver.cpp:45", severity: str = "I") -> None:
        self.log.emit("message", text, where, severity)

    def parameters(self, text: str) -> None:
        self.log.emit("solver", f"Initializing solver from parameters: \n{text}", "solver.cpp:45")

    def solving(self, name: str, policy: str) -> None:
        self.log.emit("solving", f"Solving {name}", "solver.cpp:289", name=name)
        self.log.emit("solving", f"Learning Rate Policy: {policy}", "solver.cpp:290", policy=policy)

    def iteration(self, iteration: int, loss: float, rate: float, seconds: float, every: int) -> None:
        speed = f"({number(rate)} iter/s, {number(seconds)}s/{every} iters)"
        text = f"Iteration {iteration} {speed}, loss = {number(loss)}"
        self.log.emit("iteration", text, "solver.cpp:239", iteration=iteration, loss=loss, rate=rate)

    def train_output(self, iteration: int, output: Output) -> None:
        text = f"    Train net output {output.text}"
        self._output("train_output", text, "solver.cpp:258", output, iteration=iteration)

    def lr(self, iteration: int, lr: float) -> None:
        text = f"Iteration {iteration}, lr = {number(lr)}"
        self.log.emit("lr", text, "sgd_solver.cpp:112", iteration=iteration, lr=lr)

    def clip(self, iteration: int, norm: float, limit: float) -> None:
        text = (
            f"Gradient clipping: scaling down gradients (L2 norm {number(norm)} > {number(limit)}) "
            f"by scale factor {number(limit / norm)}"
        )
        self.log.emit("clip", text, "sgd_solver.cpp:99", iteration=iteration, norm=norm, limit=limit)

    def multistep(self, iteration: int, step: int) -> None:
        text = f"MultiStep Status: Iteration {iteration}, step = {step}"
        self.log.emit("multistep", text, "sgd_solver.cpp:50", iteration=iteration, step=step)

    def plateau_step(self, iteration: int, step: int) -> None:
        text = f"Plateau Status: Iteration {iteration}, step = {step}"
        self.log.emit("plateau", text, "sgd_solver.cpp:80", iteration=iteration, step=step)

    def plateau_minimum(self, iteration: int, loss: float) -> None:
        text = f"Plateau Status: Iteration {iteration}, current minimum_loss = {number(loss)}"
        self.log.emit("plateau", text, "sgd_solver.cpp:86", iteration=iteration, minimum_loss=loss)

    def progress(self, iteration: int, max_iter: int, loss: float) -> None:
        self.log.emit("progress", "", "solver.cpp:239", iteration=iteration, max_iter=max_iter, loss=loss)

    def testing(self, iteration: int, net: int) -> None:
        text = f"Iteration {iteration}, Testing net (#{net})"
        self.log.emit("test", text, "solver.cpp:347", iteration=iteration, net=net)

    def test_loss(self, iteration: int, net: int, loss: float) -> None:
        text = f"Test loss: {number(loss)}"
        self.log.emit("test_loss", text, "solver.cpp:401", iteration=iteration, net=net, loss=loss)

    def test_output(self, iteration: int, net: int, output: Output) -> None:
        text = f"    Test net output {output.text}"
        self._output("test_output", text, "solver.cpp:414", output, iteration=iteration, net=net)

    def best(self, iteration: int, name: str, value: float, before: str) -> None:
        text = f"Best test: Iteration {iteration}, {name} = {number(value)} ({before})"
        self.log.emit("best", text, "solver.cpp:420", iteration=iteration, name=name, value=value)

    def out_of_patience(self, iteration: int, tests: int, best: str) -> None:
        text = f"Early stopping: Iteration {iteration}, {tests} tests without a better one ({best})"
        self.log.emit("early_stop", text, "solver.cpp:425", iteration=iteration, tests=tests)

    def snapshot_weights(self, iteration: int, path: str, hdf5: bool) -> None:
        text = f"Snapshotting to {_kind(hdf5)} {path}"
        where = "solver.cpp:474" if hdf5 else "solver.cpp:464"
        self.log.emit("snapshot", text, where, iteration=iteration, path=path)

    def snapshot_state(self, iteration: int, path: str, hdf5: bool) -> None:
        text = f"Snapshotting solver state to {_kind(hdf5)} {path}"
        where = "sgd_solver.cpp:299" if hdf5 else "sgd_solver.cpp:284"
        self.log.emit("snapshot", text, where, iteration=iteration, path=path)

    def final_loss(self, iteration: int, loss: float) -> None:
        text = f"Iteration {iteration}, loss = {number(loss)}"
        self.log.emit("iteration", text, "solver.cpp:327", iteration=iteration, loss=loss, rate=0.0)

    def stopped(self, iteration: int) -> None:
        text = "Optimization stopped early."
        self.log.emit("done", text, "solver.cpp:311", iteration=iteration, stopped=True)

    def done(self, iteration: int) -> None:
        text = "Optimization Done."
        self.log.emit("done", text, "solver.cpp:332", iteration=iteration, stopped=False)

    def _output(self, kind: str, text: str, where: str, output: Output, **place: Any) -> None:
        self.log.emit(
            kind, text, where, **place,
            index=output.index, name=output.name, value=output.value, weight=output.weight,
        )  # fmt: skip


def _kind(hdf5: bool) -> str:
    return "HDF5 file" if hdf5 else "binary proto file"
