"""LSTMUnit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._recurrent import cell, cell_backward
from caffelite.layers.base import Layer
from caffelite.types import Shape


class LSTMUnit(Layer):
    """One step of an LSTM without its weights: c = cont sigmoid(f) c_prev + sigmoid(i) tanh(g), h = sigmoid(o) tanh(c).

    Bottoms: c_prev (1, N, H); gates (1, N, 4H), the sums in the order i, f, o, g; cont (1, N), 0 where a
             sequence starts.
    Tops:    c (1, N, H), h (1, N, H).
    Gradient: to c_prev and gates; none to cont.
    Raises:  ShapeError for other shapes.
    Example: c_prev (1, 2, 3), gates (1, 2, 12), cont [[1, 0]]
    Source:  BVLC Caffe, lstm_unit_layer.cpp. Hochreiter and Schmidhuber, "Long short-term memory", 1997.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("c_prev", "gates", "cont")
    tops: ClassVar[tuple[str, ...]] = ("c", "h")
    unforced: ClassVar[tuple[str, ...]] = ("cont",)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        c_prev, gates, cont = shapes
        if len(c_prev) != 3 or c_prev[0] != 1:
            raise self.shape_error("c_prev (1, N, H)", f"c_prev={c_prev}")
        _, N, H = c_prev
        if gates != (1, N, 4 * H) or cont != (1, N):
            expected = f"gates {(1, N, 4 * H)} and cont {(1, N)} beside c_prev {c_prev}"
            raise self.shape_error(expected, f"gates={gates}, cont={cont}")
        self.save("active", (N, 4 * H))
        return [c_prev, c_prev]

    def forward(self, xp: Any, c_prev: Any, gates: Any, cont: Any, c: Any, h: Any, active: Any) -> None:
        active[...] = gates[0]
        cell(xp, active, cont[0][:, None], c_prev[0], c[0], h[0])

    def backward(
        self,
        xp: Any,
        c_prev: Any,
        cont: Any,
        c: Any,
        active: Any,
        dc: Any,
        dh: Any,
        dc_prev: Any,
        dgates: Any,
    ) -> None:
        dh = xp.zeros_like(c) if dh is None else dh
        sums = xp.empty_like(active)
        end = None if dc is None else dc[0]
        start = cell_backward(xp, active, cont[0][:, None], c_prev[0], c[0], dh[0], end, sums)
        if dc_prev is not None:
            dc_prev[0] = start
        if dgates is not None:
            dgates[0] = sums
