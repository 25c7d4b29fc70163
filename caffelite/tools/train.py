"""How long each layer of a training run takes: ``--timing`` of Caffe's python/train.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter

from caffelite.logs.log import get_log
from caffelite.solver.solver import Solver


class Timing:
    """Measures a solver's layers and logs the last iteration's milliseconds at each display."""

    def __init__(self, solver: Solver):
        self.solver = solver
        layers = len(solver.net.nodes)
        self.forward, self.backward = [0.0] * layers, [0.0] * layers
        self.total = self._began = self._layer_began = 0.0
        hooks = solver.net.hooks
        hooks.before_forward.append(self._start_layer)
        hooks.after_forward.append(self._end_layer(self.forward))
        hooks.before_backward.append(self._start_layer)
        hooks.after_backward.append(self._end_layer(self.backward))
        solver.add_callback(self._start, self._end)

    def lines(self) -> Iterator[str]:
        """What is logged: a line a layer and direction, then the whole iteration."""
        names = [node.name for node in self.solver.net.nodes]
        for what, times in (("forw", self.forward), ("back", self.backward)):
            for number, (name, ms) in enumerate(zip(names, times, strict=True)):
                yield f"{what} {number:3d} {name:>8} : {ms:.2f}"
        yield f"solver total: {self.total:.2f}"

    def _start(self) -> None:
        self._began = perf_counter()

    def _end(self) -> None:
        self.total = 1e3 * (perf_counter() - self._began)
        display = self.solver.param.display
        if display and self.solver.iter % display == 0:
            get_log().emit(
                "timing", "\n" + "\n".join(self.lines()), "_caffe.cpp:1", iteration=self.solver.iter
            )

    def _start_layer(self, _: int) -> None:
        self._layer_began = perf_counter()

    def _end_layer(self, times: list[float]) -> Callable[[int], None]:
        def end(layer: int) -> None:
            times[layer] = 1e3 * (perf_counter() - self._layer_began)

        return end
