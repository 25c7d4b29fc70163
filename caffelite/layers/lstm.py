"""LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers._recurrent import Recurrent, add_to, cell, cell_backward
from caffelite.types import Shape


class LSTM(Recurrent):
    """Long short-term memory over the time steps t of x, with k = cont[t]:

        i, f, o, g = W_xc x[t] + b_c + W_hc (k h) [+ W_xc_static static]
        c = k sigmoid(f) c + sigmoid(i) tanh(g)
        h = sigmoid(o) tanh(c),  y[t] = h

    Bottoms: x (T, N, ...), D numbers in each step; cont (T, N), 0 where a sequence starts, else 1; static (N, ...),
             S numbers that every step sees, optional; with ``expose_hidden: true`` h_0 and c_0 (1, N, H).
    Tops:    y (T, N, H), H = num_output; with ``expose_hidden: true`` h_T and c_T (1, N, H).
    Params:  W_xc (4H, D), b_c (4H,), W_xc_static (4H, S) if there is a static bottom, W_hc (4H, H).
    State:   without ``expose_hidden`` h and c go on into the next pass; from zeros at first and after N changed.
    Gradient: within one pass; none to cont. T is fixed once the net is built, N is not.
    Raises:  NetError unless num_output >= 1; ShapeError for bottoms that do not go together, or another T.
    Example: x (3, 2, 4), cont [[0, 0], [1, 1], [1, 0]]; recurrent_param { num_output: 5 weight_filler { type: "uniform"
             min: -0.1 max: 0.1 } }
    Source:  BVLC Caffe, recurrent_layer.cpp and lstm_layer.cpp. Hochreiter and Schmidhuber, "Long short-term
             memory", 1997; Donahue et al., "Long-term recurrent convolutional networks", 2015.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "cont", "static?", "h_0?", "c_0?")
    tops: ClassVar[tuple[str, ...]] = ("y", "h_T?", "c_T?")
    hidden: ClassVar[tuple[str, ...]] = ("h", "c")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        tops = super().infer(shapes)
        T, N, H = tops[0]
        self.weights("W_xc", 4 * H, "b_c")
        self.param("W_hc", (4 * H, H), self.filler("weight_filler"))
        self.save("gates", (T, N, 4 * H))
        self.save("cells", (T + 1, N, H))  # c before each step, and after the last
        self.save("before", (T, N, H))  # k h, h from the step before
        return tops

    def forward(
        self, xp: Any, x: Any, cont: Any, static: Any, h_0: Any, c_0: Any, y: Any, h_T: Any, c_T: Any,
        W_xc: Any, b_c: Any, W_xc_static: Any, W_hc: Any, gates: Any, cells: Any, before: Any,
    ) -> None:  # fmt: skip
        self.drive(xp, x, static, W_xc, b_c, W_xc_static, gates)
        h, cells[0] = self.begin(xp, h_0, c_0)
        for t in range(self.T):
            k = cont[t][:, None]
            xp.multiply(h, k, out=before[t])
            gates[t] += xp.matmul(before[t], W_hc.T)
            cell(xp, gates[t], k, cells[t], cells[t + 1], y[t])
            h = y[t]
        self.end([h, cells[self.T]], [h_T, c_T])

    def backward(
        self, xp: Any, x: Any, cont: Any, static: Any, W_xc: Any, W_xc_static: Any, W_hc: Any,
        gates: Any, cells: Any, before: Any, dy: Any, dh_T: Any, dc_T: Any, dx: Any, dstatic: Any,
        dh_0: Any, dc_0: Any, dW_xc: Any, db_c: Any, dW_xc_static: Any, dW_hc: Any,
    ) -> None:  # fmt: skip
        dgates = xp.empty_like(gates)
        dh, dc = (None if top is None else top[0] for top in (dh_T, dc_T))
        dy = xp.zeros_like(before) if dy is None else dy
        for t in reversed(range(self.T)):
            k = cont[t][:, None]
            dc = cell_backward(xp, gates[t], k, cells[t], cells[t + 1], add_to(dy[t], dh), dc, dgates[t])
            dh = xp.matmul(dgates[t], W_hc) * k
        self.give([dh, dc], [dh_0, dc_0])
        if dW_hc is not None:
            rows = self.T * self.N
            dW_hc += xp.matmul(dgates.reshape(rows, 4 * self.H).T, before.reshape(rows, self.H))
        self.drive_backward(xp, x, static, W_xc, W_xc_static, dgates, dx, dstatic, dW_xc, db_c, dW_xc_static)

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return 4 * self.H * self.N * (self.T * (self.D + self.H) + self.S)
