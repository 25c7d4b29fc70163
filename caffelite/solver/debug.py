"""``debug_info: true``: mean absolute values of every blob and gradient, as they come and go.

Source: ``Net::ForwardDebugInfo`` and ``Net::BackwardDebugInfo`` of BVLC Caffe's ``net.cpp``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from caffelite.graph.graph import Node, ParamUse
from caffelite.logs.log import Log, number
from caffelite.model import Model
from caffelite.params import Array


@contextmanager
def debug_info(net: Model, log: Log, wanted: bool = True) -> Iterator[None]:
    """Logs each layer's arrays as passes go through it, while the block runs. The net must keep all blobs."""
    if not wanted:
        yield
        return
    printer = _Printer(net, log)
    net.hooks.after_forward.append(printer.forward)
    net.hooks.after_backward.append(printer.backward)
    try:
        yield
    finally:
        net.hooks.after_forward.remove(printer.forward)
        net.hooks.after_backward.remove(printer.backward)


class _Printer:
    def __init__(self, net: Model, log: Log):
        self.net, self.log = net, log

    def forward(self, index: int) -> None:
        node = self.net.nodes[index]
        for top in node.tops:
            data = self.net.engine.to_host(self.net.executor.data(top))
            self._line("Forward", node.name, f"top blob {top.name} data", data, "net.cpp:592")
        for use, param in zip(node.params, self.net.params_of(node), strict=True):
            self._line("Forward", node.name, f"param blob {_label(use)} data", param.data, "net.cpp:604")

    def backward(self, index: int) -> None:
        node = self.net.nodes[index]
        if node.backward:
            self._gradients(node)
        if index == 0:
            self._totals()

    def _gradients(self, node: Node) -> None:
        for bottom, wanted in zip(node.bottoms, node.propagate, strict=True):
            diff = self.net.executor.diff(bottom) if wanted else None
            if diff is not None:
                here = self.net.engine.to_host(diff)
                self._line("Backward", node.name, f"bottom blob {bottom.name} diff", here, "net.cpp:620")
        for use, param in zip(node.params, self.net.params_of(node), strict=True):
            if use.root.learn:
                self._line("Backward", node.name, f"param blob {_label(use)} diff", param.grad, "net.cpp:631")

    def _line(self, way: str, layer: str, what: str, array: Array, where: str) -> None:
        mean = _l1([array]) / max(array.size, 1)
        text = f"    [{way}] Layer {layer}, {what}: {number(mean)}"
        self.log.emit("debug", text, where, layer=layer, what=what, mean=mean)

    def _totals(self) -> None:
        """Norms over all parameters; Caffe logs them as an error so that they stand out."""
        params = [param for _, param in self.net.learnables]
        data, diff = [p.data for p in params], [p.grad for p in params]
        text = (
            "    [Backward] All net params (data, diff): "
            f"L1 norm = ({number(_l1(data))}, {number(_l1(diff))}); "
            f"L2 norm = ({number(_l2(data))}, {number(_l2(diff))})"
        )
        self.log.emit("debug", text, "net.cpp:672", "E")


def _label(use: ParamUse) -> str:
    return use.shared_name or str(use.index)


def _l1(arrays: list[Array]) -> float:
    return float(sum(np.abs(array).sum(dtype=np.float64) for array in arrays))


def _l2(arrays: list[Array]) -> float:
    return float(np.sqrt(sum(np.square(array, dtype=np.float64).sum() for array in arrays)))
