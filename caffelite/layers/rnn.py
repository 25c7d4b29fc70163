"""RNN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffelite.layers._recurrent import Recurrent, add_to
from caffelite.types import Shape


class RNN(Recurrent):
    """A recurrent net with one hidden layer, over the time steps t of x, with k = cont[t]:

        h = tanh(W_xh x[t] + b_h + W_hh (k h) [+ W_xh_static static])
        y[t] = tanh(W_ho h + b_o)

    Bottoms: x (T, N, ...), D numbers in each step; cont (T, N), 0 where a sequence starts, else 1; static (N, ...),
             S numbers that every step sees, optional; with ``expose_hidden: true`` h_0 (1, N, H).
    Tops:    y (T, N, H), H = num_output; with ``expose_hidden: true`` h_T (1, N, H).
    Params:  W_xh (H, D), b_h (H,), W_xh_static (H, S) if there is a static bottom, W_hh (H, H), W_ho (H, H),
             b_o (H,).
    State:   without ``expose_hidden`` h goes on into the next pass; from zeros at first and after N changed.
    Gradient: within one pass; none to cont. T is fixed once the net is built, N is not.
    Raises:  NetError unless num_output >= 1; ShapeError for bottoms that do not go together, or another T.
    Example: x (3, 2, 4), cont [[0, 0], [1, 1], [1, 0]]; recurrent_param { num_output: 5 weight_filler { type: "uniform"
             min: -0.1 max: 0.1 } }
    Source:  BVLC Caffe, recurrent_layer.cpp and rnn_layer.cpp.
    """

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        tops = super().infer(shapes)
        H, weight_filler = self.H, self.filler("weight_filler")
        self.weights("W_xh", H, "b_h")
        self.param("W_hh", (H, H), weight_filler)
        self.param("W_ho", (H, H), weight_filler)
        self.param("b_o", (H,), self.filler("bias_filler"))
        self.save("h", tops[0])
        self.save("before", tops[0])  # k h, h from the step before
        return tops

    def forward(
        self, xp: Any, x: Any, cont: Any, static: Any, h_0: Any, y: Any, h_T: Any, W_xh: Any, b_h: Any,
        W_xh_static: Any, W_hh: Any, W_ho: Any, b_o: Any, h: Any, before: Any,
    ) -> None:  # fmt: skip
        self.drive(xp, x, static, W_xh, b_h, W_xh_static, h)
        (last,) = self.begin(xp, h_0)
        for t in range(self.T):
            xp.multiply(last, cont[t][:, None], out=before[t])
            h[t] += xp.matmul(before[t], W_hh.T)
            last = xp.tanh(h[t], out=h[t])
        self.end([last], [h_T])
        y[...] = xp.matmul(h.reshape(self.T * self.N, self.H), W_ho.T).reshape(y.shape)
        y += b_o
        xp.tanh(y, out=y)

    def backward(
        self, xp: Any, x: Any, cont: Any, static: Any, y: Any, W_xh: Any, W_xh_static: Any, W_hh: Any, W_ho: Any,
        h: Any, before: Any, dy: Any, dh_T: Any, dx: Any, dstatic: Any, dh_0: Any,
        dW_xh: Any, db_h: Any, dW_xh_static: Any, dW_hh: Any, dW_ho: Any, db_o: Any,
    ) -> None:  # fmt: skip
        rows = (self.T * self.N, self.H)
        dsum = xp.zeros_like(h) if dy is None else self._output_backward(xp, y, h, W_ho, dy, dW_ho, db_o)
        dh = None if dh_T is None else dh_T[0]
        for t in reversed(range(self.T)):
            dsum[t] = add_to(dsum[t], dh) * (1 - h[t] * h[t])
            dh = xp.matmul(dsum[t], W_hh) * cont[t][:, None]
        self.give([dh], [dh_0])
        if dW_hh is not None:
            dW_hh += xp.matmul(dsum.reshape(rows).T, before.reshape(rows))
        self.drive_backward(xp, x, static, W_xh, W_xh_static, dsum, dx, dstatic, dW_xh, db_h, dW_xh_static)

    def _output_backward(self, xp: Any, y: Any, h: Any, W_ho: Any, dy: Any, dW_ho: Any, db_o: Any) -> Any:
        """The gradient of h (T, N, H) that comes from y = tanh(W_ho h + b_o)."""
        rows = (self.T * self.N, self.H)
        dout = (dy * (1 - y * y)).reshape(rows)
        if dW_ho is not None:
            dW_ho += xp.matmul(dout.T, h.reshape(rows))
        if db_o is not None:
            db_o += dout.sum(axis=0)
        return xp.matmul(dout, W_ho).reshape(h.shape)

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return self.H * self.N * (self.T * (self.D + 2 * self.H) + self.S)
