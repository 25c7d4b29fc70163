"""Passes as CUDA graphs: launches that follow one another are captured once and replayed by one call.

A pass is cut into pieces: runs of launches (kernels of our own, copies between blobs), and between them what cannot be captured
(a layer on the host, an array body, which allocates). What the host does for a kernel comes before and after its launches; it says which
variant of them is due, so a graph is kept for each variant and for each place that the arrays have had.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from caffelite.cuda.device import Device
from caffelite.cuda.kernel import Call, CudaKernel

MOST_GRAPHS = 4  # of one piece: gradients that overwrite and that add, and what was before a rebind


class CapturedPass:
    """The calls of a pass; the first run is eager, so that all kernels are compiled, later ones replay graphs."""

    def __init__(self, calls: Sequence[Call], device: Device):
        self._pieces: list[_Captured | Call] = []
        launches: list[Call] = []
        for call in [*calls, None]:
            if call is not None and is_capturable(call):
                launches.append(call)
                continue
            if launches:
                self._pieces.append(_Captured(launches, device))
                launches = []
            if call is not None:
                self._pieces.append(call)

    def __call__(self) -> None:
        for piece in self._pieces:
            piece()

    @property
    def eager(self) -> int:
        """How many calls are not captured."""
        return sum(not isinstance(piece, _Captured) for piece in self._pieces)


class _Captured:
    """Launches in a row."""

    def __init__(self, calls: Sequence[Call], device: Device):
        self._device, self._calls = device, calls
        self._kernels = [kernel_of(call) for call in calls]
        self._seen: set[Hashable] = set()
        self._graphs: OrderedDict[Hashable, Callable[[], object]] = OrderedDict()

    def __call__(self) -> None:
        variant = tuple(kernel.before(backward) for kernel, backward in self._kernels if kernel)
        if variant in self._graphs:
            self._graphs.move_to_end(variant)
            self._graphs[variant]()
        elif variant in self._seen:
            self._graph(variant)()
        else:
            self._seen.add(variant)
            self._launch()
        for kernel, backward in self._kernels:
            if kernel:
                kernel.after(backward)

    def _graph(self, variant: Hashable) -> Callable[[], object]:
        graph = self._graphs[variant] = self._device.capture(self._launch)
        if len(self._graphs) > MOST_GRAPHS:
            self._seen.discard(self._graphs.popitem(last=False)[0])
        return graph

    def _launch(self) -> None:
        for call, (kernel, backward) in zip(self._calls, self._kernels, strict=True):
            if kernel:
                kernel.launch_all(backward)
            else:
                call()


def kernel_of(call: Any) -> tuple[CudaKernel | None, bool]:
    """The kernel whose pass a call is, and whether it is the backward one; None for a copy."""
    kernel = getattr(call, "__self__", None)
    return (kernel, call.__name__ == "backward") if isinstance(kernel, CudaKernel) else (None, False)


def is_capturable(call: Any) -> bool:
    """Whether a call does nothing but launches, and what its kernel does before and after them."""
    kernel = getattr(call, "__self__", None)
    if isinstance(kernel, CudaKernel):
        own = type(kernel)
        return own.forward is CudaKernel.forward and own.backward is CudaKernel.backward
    return bool(getattr(getattr(call, "func", None), "only_launches", False))
