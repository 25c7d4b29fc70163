"""From gradients to new weights: one pass over all parameters, in chunks that stay in a core's cache.

All learnable blobs count as one long vector, which is cut into chunks and shared out evenly among threads.
Each chunk is normalised, regularised, turned into an update and taken off the weights before the next is
touched.

Source: ``SGDSolver::ApplyUpdate`` of BVLC Caffe's ``sgd_solver.cpp``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from caffelite.cpu.threads import CHUNK, parallel_chunks
from caffelite.graph.graph import ParamUse
from caffelite.params import Array, Param
from caffelite.plan.kernel import Engine
from caffelite.solver.rules.base import Rule

L1 = "L1"
PARALLEL_FROM = 1 << 21  # elements, some 2 ms of work: less is done before another thread has woken up


@dataclass(frozen=True)
class Blob:
    """One learnable blob in an update, all arrays flat."""

    w: Array
    g: Array
    history: list[Array]
    lr: float
    decay: float


class Updater:
    """Updates the learnable blobs of a net by a rule, and owns the rule's history.

    ``history[k][i]`` is the k-th array that the rule keeps for blob i, in the blob's shape. ``p`` is the
    SolverParameter.
    """

    def __init__(self, rule: Rule, p: Any, learnables: Sequence[tuple[ParamUse, Param]], engine: Engine):
        self.rule, self.p, self.engine = rule, p, engine
        self.uses = [use for use, _ in learnables]
        self.params = [param for _, param in learnables]
        self.history = [[self._zeros(q) for q in self.params] for _ in range(rule.histories)]
        self._blank = [True] * len(self.params)  # histories known to be all zero
        # The many small blobs of a net, which cost Python's lock more than arithmetic, so fall to one thread.
        self._largest_first = sorted(range(len(self.params)), key=lambda i: -self.params[i].size)
        self._scratch = threading.local()

    def gradient_norm(self) -> float:
        """The L2 norm over all gradients together, as they stand."""
        flats = [param.grad.reshape(-1) for param in self.params if not param.grad_is_zero]
        chunks = cut(tuple(flat.size for flat in flats))
        sums = [0.0] * len(chunks)

        def work(at: slice) -> None:
            sums[at.start // CHUNK] = sum(
                float(np.vdot(flats[i][part], flats[i][part])) for i, part in chunks[at.start // CHUNK]
            )

        with self.engine.compute():
            _run(work, sum(flat.size for flat in flats))
        return math.sqrt(sum(sums))

    def apply(self, rate: float, iteration: int, scale: float = 1.0) -> None:
        """Updates all blobs by their gradients times ``scale``; these then hold what was taken off."""
        lr = self.rule.rate(rate, iteration)
        moving = [i for i in self._largest_first if not self._idle(i)]
        blobs = [self._blob(i, lr) for i in moving]
        chunks = cut(tuple(blob.w.size for blob in blobs))

        def work(at: slice) -> None:
            # Numbers that overflow show up in the next loss, which names the place.
            with np.errstate(all="ignore"):
                for i, part in chunks[at.start // CHUNK]:
                    self._update(blobs[i], part, scale)

        with self.engine.compute():
            _run(work, sum(blob.w.size for blob in blobs))
        for i in moving:
            self.params[i].touch()
            self._blank[i] = False

    def load_history(self, arrays: Sequence[Array]) -> None:
        """Takes over the history that ``flat_history`` gave. Shapes are the caller's business."""
        count = len(self.params)
        for slot, mine in enumerate(self.history):
            for target, values in zip(mine, arrays[slot * count :], strict=False):
                target[...] = values.reshape(target.shape)
        self._blank = [not any(np.any(slot[i]) for slot in self.history) for i in range(count)]

    def flat_history(self) -> list[Array]:
        """The history in the order of Caffe's snapshots."""
        return [array for slot in self.history for array in slot]

    def _zeros(self, param: Param) -> Array:
        """The start of a history array."""
        return np.zeros(param.shape, param.dtype)

    # -- one update -------------------------------------------------------------------------------------

    def _idle(self, i: int) -> bool:
        """Whether nothing can move: the blob has no rate, and its history is zero and stays so."""
        if self.uses[i].lr_mult != 0 or not self._blank[i] or not self.params[i].grad_is_zero:
            return False
        return self.rule.rate_in_history or self._decay(i) == 0

    def _decay(self, i: int) -> float:
        return float(self.p.weight_decay * self.uses[i].decay_mult)

    def _blob(self, i: int, lr: float) -> Blob:
        param = self.params[i]
        history = [slot[i].reshape(-1) for slot in self.history]
        return Blob(
            param.data.reshape(-1), param.grad.reshape(-1), history, lr * self.uses[i].lr_mult, self._decay(i)
        )

    def _update(self, blob: Blob, part: slice, scale: float) -> None:
        w, g = blob.w[part], blob.g[part]
        scratch = self._scratch_like(g)
        if scale != 1:
            g *= scale
        if blob.decay:
            xp = self.engine.xp
            source = xp.sign(w, out=scratch) if self.p.regularization_type == L1 else w
            xp.multiply(source, blob.decay, out=scratch)
            g += scratch
        self.rule.update(self.engine.xp, blob.lr, g, *(array[part] for array in blob.history), scratch)
        w -= g

    def _scratch_like(self, g: Array) -> Array:
        if getattr(self._scratch, "array", None) is None:
            self._scratch.array = np.empty(CHUNK, g.dtype)
        scratch: Array = self._scratch.array[: g.size]
        return scratch


def _run(work: Callable[[slice], object], count: int) -> None:
    """Calls ``work`` for each chunk of ``range(count)``, on all threads if it is worth it."""
    if count >= PARALLEL_FROM:
        parallel_chunks(work, count)
        return
    for start in range(0, count, CHUNK):
        work(slice(start, min(start + CHUNK, count)))


@lru_cache(maxsize=8)
def cut(sizes: tuple[int, ...], chunk: int = CHUNK) -> list[list[tuple[int, slice]]]:
    """Cuts arrays laid end to end into chunks: for each chunk its pieces as (array, slice of the array)."""
    chunks: list[list[tuple[int, slice]]] = [[] for _ in range(-(-sum(sizes) // chunk))]
    start = 0
    for i, size in enumerate(sizes):
        at = 0
        while at < size:
            number, offset = divmod(start + at, chunk)
            length = min(size - at, chunk - offset)
            chunks[number].append((i, slice(at, at + length)))
            at += length
        start += size
    return chunks
