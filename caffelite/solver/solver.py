"""The training loop.

    solver = Solver(read_solver("solver.prototxt"), engine="cpu")
    solver.solve()

One iteration: clear gradients, test if due, ``iter_size`` forward and backward passes, display, update, snapshot if
due, stop if asked to. A snapshot holds all that the next iteration depends on, so a run that is resumed gives the same
bits as one that was never stopped (same engine, threads and CPU).

Source: ``Solver`` and ``SGDSolver`` of BVLC Caffe.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

from caffelite.engine import get_engine
from caffelite.errors import NotFiniteError, UsageError
from caffelite.loading import load_params
from caffelite.logs.log import Log, get_log
from caffelite.model import Model
from caffelite.plan.kernel import Engine
from caffelite.prototxt.source import SolverSource
from caffelite.prototxt.write import write_text
from caffelite.solver.best import Best, find_monitor
from caffelite.solver.check import remarks, require_valid
from caffelite.solver.debug import debug_info
from caffelite.solver.finite import first_not_finite_param, not_finite
from caffelite.solver.lines import Lines, outputs_of
from caffelite.solver.nets import build_test_nets, build_train_net
from caffelite.solver.rules import RULES
from caffelite.solver.schedule import Schedule
from caffelite.solver.snapshot import VERSION, Snapshots, checksum, find_weights, read_state
from caffelite.solver.testing import Scores, run_test
from caffelite.solver.updating import make_updater
from caffelite.weights import SolverState

Callback = Callable[[], None]


class Solver:
    """Trains the net of a solver file.

    ``engine`` and ``precision`` are those of Model and decide alone (``solver_mode`` is only remarked on). ``seed``
    replaces ``random_seed``; a negative one takes a fresh seed. ``observe=False`` lets the nets reuse memory, for runs in
    which nobody looks at blobs. ``root``: what relative paths count from, by default the working directory.

    Public: ``param`` (the SolverParameter), ``net``, ``test_nets``, ``iter`` (updates done), ``stopped`` (whether the
    last ``step`` or ``solve`` was ended by a request or for want of ``patience``), ``as_saved`` (gives the block in
    which weights are written), and the lists of callables ``on_start`` and ``on_gradients_ready``.

    Raises PrototxtError with all that is wrong in the solver file, what building the nets raises, and
    SnapshotError if ``snapshot`` is given and nothing can be written to its prefix.
    """

    def __init__(
        self,
        source: SolverSource,
        *,
        engine: Engine | str = "cpu",
        precision: str = "float32",
        seed: int | None = None,
        observe: bool = True,
        log: Log | None = None,
        root: str | Path | None = None,
    ):
        require_valid(source)
        self.param: Any = source.message
        self._root = Path(root or "")
        self._lines = Lines(log or get_log())
        self._snapshots = Snapshots(self.param, self._root)
        self._engine = get_engine(engine, precision) if isinstance(engine, str) else engine
        self._lines.parameters(write_text(self.param))
        for severity, text in remarks(self.param, self._engine.name):
            self._lines.message(text, severity=severity)
        if self.param.snapshot or self.param.keep_best:
            self._snapshots.probe()
        self._build_nets(source, self.param.random_seed if seed is None else seed, observe)
        graphs = [net.graph for net in self.test_nets]
        self._best = Best(self.param, find_monitor(source, graphs), self._lines)
        rule = RULES[self.param.type](self.param)
        self._updater = make_updater(rule, self.param, self.net.learnables, self._engine)
        self.iter, self.stopped = 0, False
        self.on_start: list[Callback] = []
        self.on_gradients_ready: list[Callback] = []
        self.as_saved: Callable[[], AbstractContextManager[None]] = nullcontext
        self._schedule = Schedule(self.param, self._lines)
        self._losses: deque[float] = deque(maxlen=self.param.average_loss)
        self._stop_wanted = self._snapshot_wanted = False
        self._saved_at, self._saved_as = -1, ""
        self._before_test: dict[str, Any] | None = None
        self._restart_clock()
        self._lines.message("Solver scaffolding done.", "solver.cpp:57")

    def _build_nets(self, source: SolverSource, seed: int, observe: bool) -> None:
        build = partial(Model, engine=self._engine, observe=observe or self.param.debug_info)
        self.net = build_train_net(source, self._root, partial(build, seed=seed), self._lines)
        test = partial(build, share=self.net, backward=observe)
        self.test_nets: list[Model] = build_test_nets(source, self._root, test, self._lines)
        for names in self.param.weights:
            for name in names.split(","):
                self.load_weights(name.strip())

    # -- training ---------------------------------------------------------------------------------------

    def solve(self, resume_file: str | Path | None = None) -> None:
        """Trains up to max_iter, from a state if one is given; then snapshots and tests as the file says."""
        p = self.param
        if p.snapshot_after_train:
            self._snapshots.probe()
        self._lines.solving(self.net.name, p.lr_policy)
        if resume_file is not None:
            self._lines.message(f"Restoring previous solver status from {resume_file}", "solver.cpp:296")
            self.restore(resume_file)
        if self.iter and self.iter >= p.max_iter:
            self._lines.message(f"already at iteration {self.iter} of {p.max_iter}: nothing to train")
        self.step(p.max_iter - self.iter)
        self.check_weights()
        if p.snapshot_after_train and not self._is_saved():
            self.snapshot()
        if self.stopped:
            self._lines.stopped(self.iter)
            return
        if p.display and self.iter % p.display == 0:
            self._show_final_loss()
        if p.test_interval and self.iter % p.test_interval == 0:
            self.test_all()
        self._lines.done(self.iter)

    def step(self, iterations: int = 1) -> None:
        """Runs some iterations, fewer if asked to stop or out of patience.

        Raises NotFiniteError, before anything is updated, if the loss is not finite, or a weight when it is displayed.
        """
        end = self.iter + iterations
        self.stopped = False
        self._restart_clock()
        while self.iter < end and not self.stopped:
            self.net.clear_grads()
            if self._test_is_due():
                self.test_all()
                self.stopped = self.stopped or self._best.gives_up(self.iter)
                if self.stopped:
                    return
            self._iterate()
            self._honour_requests(self._snapshot_is_due())

    def _iterate(self) -> None:
        for callback in self.on_start:
            callback()
        display = bool(self.param.display) and self.iter % self.param.display == 0
        with debug_info(self.net, self._lines.log, display and self.param.debug_info):
            self._losses.append(self._forward_backward())
        if display:
            self._show_iteration()
            self.check_weights()
        for callback in self.on_gradients_ready:
            callback()
        self.apply_update()
        self._lines.progress(self.iter, self.param.max_iter, self.smoothed_loss)

    def _forward_backward(self) -> float:
        """The mean loss of ``iter_size`` batches, whose gradients add up."""
        total = 0.0
        for _ in range(self.param.iter_size):
            total += self._forward()
            self.net.backward()
        return total / int(self.param.iter_size)

    def _forward(self) -> float:
        loss = self.net.forward()
        if not math.isfinite(loss):
            raise self._not_finite(f"loss is {loss:g}")
        return loss

    def _not_finite(self, what: str) -> NotFiniteError:
        first = self.net.executor.first_not_finite() or "no blob: the numbers are finite one by one"
        return not_finite(self.iter, f"{what}; first non-finite blob in forward order: {first}")

    def check_weights(self) -> None:
        """Raises NotFiniteError if a parameter holds a NaN or an infinity."""
        if found := first_not_finite_param(self.net.learnables):
            raise not_finite(self.iter, found)

    def apply_update(self) -> None:
        """One update from the gradients as they stand; raises ``iter`` by one.

        Gradients are scaled down to ``clip_gradients`` as they add up over ``iter_size`` batches, before they are divided
        by it and before weight decay, as in Caffe. Afterwards they hold what was taken off.
        """
        rate = self._schedule.advance(self.iter, self.smoothed_loss)
        if self.param.display and self.iter % self.param.display == 0:
            self._lines.lr(self.iter, rate)
        self._updater.apply(rate, self.iter, self._clip() / self.param.iter_size)
        self.iter += 1

    def _clip(self) -> float:
        """What gradients are multiplied with so that they keep within clip_gradients."""
        limit = self.param.clip_gradients
        if limit < 0:
            return 1.0
        norm = self._updater.gradient_norm()
        if not math.isfinite(norm):
            raise self._not_finite(f"the L2 norm of the gradients is {norm:g}")
        if norm <= limit:
            return 1.0
        self._lines.clip(self.iter, norm, limit)
        return float(limit / norm)

    # -- what it says -----------------------------------------------------------------------------------

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return self._schedule.peek(self.iter)

    @property
    def smoothed_loss(self) -> float:
        """The mean loss of the last ``average_loss`` iterations; nan before the first."""
        return fmean(self._losses) if self._losses else math.nan

    def _restart_clock(self) -> None:
        self._clock, self._clock_iter = perf_counter(), self.iter

    def _show_iteration(self) -> None:
        seconds = perf_counter() - self._clock
        rate = (self.iter - self._clock_iter) / seconds if seconds else 0.0
        self._lines.iteration(self.iter, self.smoothed_loss, rate, seconds, self.param.display)
        for output in outputs_of(self.net):
            self._lines.train_output(self.iter, output)
        self._restart_clock()

    def _show_final_loss(self) -> None:
        """One more forward pass, as Caffe does it; the state of the run is already saved."""
        self._losses.append(self._forward())
        self._lines.final_loss(self.iter, self.smoothed_loss)

    # -- testing ----------------------------------------------------------------------------------------

    def _test_is_due(self) -> bool:
        p = self.param
        due = p.test_interval and self.iter % p.test_interval == 0
        return bool(due and (self.iter > 0 or p.test_initialization))

    def test_all(self) -> list[Scores]:
        """Tests every test net and logs the scores; fewer than there are nets if asked to stop."""
        self._before_test = self._test_state()
        scores: list[Scores] = []
        for index in range(len(self.test_nets)):
            if (result := self.test(index)) is None:
                return scores
            scores.append(result)
        if self._best.judge(self.iter, scores) and self.param.keep_best:
            self.check_weights()
            with self.as_saved():
                self._snapshots.write_best(self.iter, self.net, self._lines)
        if not self.out_of_patience:  # else a snapshot holds what a run with more patience goes on from
            self._before_test = None
        return scores

    @property
    def out_of_patience(self) -> bool:
        """Whether ``patience`` tests in a row were not better than the best one."""
        return self._best.exhausted

    def test(self, index: int = 0) -> Scores | None:
        """Tests one net over its ``test_iter`` batches and logs the scores; None if asked to stop."""
        self._lines.testing(self.iter, index)
        net, batches = self.test_nets[index], self.param.test_iter[index]
        with debug_info(net, self._lines.log, self.param.debug_info):
            scores = run_test(net, batches, self._honour_requests)
        if scores is None:
            self._lines.message("Test interrupted.", "solver.cpp:389")
            return None
        if self.param.test_compute_loss and batches:
            self._lines.test_loss(self.iter, index, scores.loss)
        for output in scores.outputs:
            self._lines.test_output(self.iter, index, output)
        return scores

    # -- requests ---------------------------------------------------------------------------------------

    def request_stop(self) -> None:
        """Stops after the iteration, or between two batches of a test. Safe in signal handlers."""
        self._stop_wanted = True

    def request_snapshot(self) -> None:
        """Snapshots after the iteration, or between two batches of a test. Safe in signal handlers."""
        self._snapshot_wanted = True

    def _honour_requests(self, snapshot_due: bool = False) -> bool:
        """Snapshots before it stops, so that asking for both loses nothing. Returns whether to stop."""
        if self._snapshot_wanted or snapshot_due:
            self._snapshot_wanted = False
            self.snapshot()
        if self._stop_wanted:
            self._stop_wanted = False
            self.stopped = True
        return self.stopped

    # -- snapshots --------------------------------------------------------------------------------------

    def _snapshot_is_due(self) -> bool:
        return bool(self.param.snapshot) and self.iter % self.param.snapshot == 0

    def _is_saved(self) -> bool:
        return self._saved_at == self.iter or self._snapshot_is_due()

    def snapshot(self) -> str:
        """Writes weights and state; returns the state's path.

        Raises SnapshotError, and NotFiniteError if a weight is no number; what was there before stays.
        """
        self.check_weights()
        with self.as_saved():
            path = self._snapshots.write(self.net, self._state(), self._lines)
        self._saved_at, self._saved_as = self.iter, path
        return path

    @property
    def saved_state(self) -> str | None:
        """The solver state to go on from without loss; None if the last iteration has not been saved."""
        return self._saved_as if self._saved_at == self.iter else None

    def _state(self) -> SolverState:
        extra = {
            "version": VERSION,
            "type": self.param.type,
            "seed": self.net.random.seed,
            "losses": list(self._losses),
            "weights": checksum(self.net.learnables),
            "train": self.net.state_dict(),
            "schedule": self._schedule.state(),
            **(self._before_test or self._test_state()),  # a test under way will begin again
        }
        history = self._updater.flat_history()
        return SolverState(self.iter, current_step=self._schedule.step, history=history, extra=extra)

    def _test_state(self) -> dict[str, Any]:
        return {"test": [net.state_dict() for net in self.test_nets], "best": self._best.state()}

    def restore(self, path: str | Path) -> None:
        """Goes on from a solver state, ours or Caffe's, in either format.

        Raises MissingFileError, WeightsError, NetError and DataError; weights, history and ``iter`` are then as before.
        """
        updater, learnables = self._updater, self.net.learnables
        state = read_state(path, learnables, updater.rule.histories, self.param.type)
        found = find_weights(path, state, self._root, learnables) if state.learned_net else None
        self._restore_extra(state.extra)
        if found:
            load_params(self.net, found[1], str(found[0]))
        self._lines.message(f"{self.param.type}Solver: restoring history", "sgd_solver.cpp:336")
        updater.load_history(state.history)
        self.iter = state.iter
        self._schedule.restore(state.iter, state.current_step, state.extra.get("schedule", {}))
        self._saved_at, self._saved_as = state.iter, str(path)

    def _restore_extra(self, extra: Mapping[str, Any]) -> None:
        if not extra:
            self._lines.message("The state holds no data positions and no random state: both start anew")
            return
        if extra["type"] != self.param.type:
            text = f'The state was written by type "{extra["type"]}", this solver is "{self.param.type}"'
            self._lines.message(text, severity="W")
        self.net.random.reseed(extra["seed"])
        self._losses = deque(extra["losses"], self.param.average_loss)
        self._best.restore(extra.get("best", {}))
        for net, state in zip([self.net, *self.test_nets], [extra["train"], *extra["test"]], strict=False):
            net.restore(state)

    def load_weights(self, path: str | Path) -> None:
        """Copies what a weights file holds into the training net, and into layers that only tests have."""
        self._lines.message(f"Finetuning from {path}", "solver.cpp:36")
        report = self.net.load_weights(self._root / path)
        self._lines.message(str(report))
        for net in self.test_nets:
            if any(params and name not in self.net.params for name, params in net.params.items()):
                net.load_weights(self._root / path)

    def add_callback(self, on_start: Callback, on_gradients_ready: Callback) -> None:
        """Calls the first before each iteration's passes, the second between the passes and the update."""
        for callback in (on_start, on_gradients_ready):
            if not callable(callback):
                raise UsageError(f"add_callback: expected two callables, got {callback!r}")
        self.on_start.append(on_start)
        self.on_gradients_ready.append(on_gradients_ready)

    def close(self) -> None:
        """Stops data workers and closes files."""
        for net in (self.net, *self.test_nets):
            net.close()
