"""LSTM and RNN, written out step by step as Caffe does: the operators of ONNX know no ``cont``."""

from __future__ import annotations

from caffelite.export.forms import form
from caffelite.export.tensors import Array, Tensor
from caffelite.export.writer import Operand, Writer


@form("LSTM")
def lstm(
    to: Writer,
    x: Tensor,
    cont: Tensor,
    static: Tensor | None,
    h_0: Tensor | None,
    c_0: Tensor | None,
    W_xc: Array,
    b_c: Array,
    W_xc_static: Array | None,
    W_hc: Array,
) -> list[Tensor]:
    h, c, tops = h_0, c_0, []
    sums, marks = _steps(to, _driven(to, x, static, W_xc, b_c, W_xc_static)), _marks(to, cont)
    for gates, k in zip(sums, marks, strict=True):
        if h is not None:
            gates = to.op("Add", gates, to.op("MatMul", to.op("Mul", h, k), W_hc.T))
        c, h = _cell(to, gates, k, c)
        tops.append(h)
    return [_joined(to, tops), *([h, c] if h is not None and c is not None and to.p.expose_hidden else [])]


@form("RNN")
def rnn(
    to: Writer,
    x: Tensor,
    cont: Tensor,
    static: Tensor | None,
    h_0: Tensor | None,
    W_xh: Array,
    b_h: Array,
    W_xh_static: Array | None,
    W_hh: Array,
    W_ho: Array,
    b_o: Array,
) -> list[Tensor]:
    h, tops = h_0, []
    sums, marks = _steps(to, _driven(to, x, static, W_xh, b_h, W_xh_static)), _marks(to, cont)
    for total, k in zip(sums, marks, strict=True):
        if h is not None:
            total = to.op("Add", total, to.op("MatMul", to.op("Mul", h, k), W_hh.T))
        h = to.op("Tanh", total)
        tops.append(h)
    y = to.op("Tanh", to.op("Add", to.op("MatMul", _joined(to, tops), W_ho.T), b_o))
    return [y, *([h] if h is not None and to.p.expose_hidden else [])]


@form("LSTMUnit")
def lstm_unit(to: Writer, c_prev: Tensor, gates: Tensor, cont: Tensor) -> list[Tensor]:
    c, h = _cell(to, gates, to.op("Unsqueeze", cont, (2,)), c_prev)
    return [c, h]


def _driven(
    to: Writer, x: Tensor, static: Tensor | None, W: Array, b: Array, W_static: Array | None
) -> Tensor:
    """What the inputs add to the sums of all steps, (T, N, rows of W)."""
    if x.dims[0] == -1:
        raise to.refuse("its time steps are written out, so the first size of its bottom must be fixed")
    if not to.p.expose_hidden:
        to.note("each run starts from zeros; Caffe goes on from the pass before")
    flat = x if len(x.known) == 3 else to.reshape(x, (0, 0, -1))
    sums = to.op("Add", to.op("MatMul", flat, W.T), b)
    if static is None or W_static is None:
        return sums
    return to.op("Add", sums, to.op("MatMul", to.op("Flatten", static, axis=1), W_static.T))


def _marks(to: Writer, cont: Tensor) -> list[Tensor]:
    """``cont`` of each step, (1, N, 1)."""
    return _steps(to, to.op("Unsqueeze", cont, (2,)))


def _steps(to: Writer, x: Tensor) -> list[Tensor]:
    steps = to.layer.T
    return to.ops("Split", steps, x, (1,) * steps, axis=0) if steps > 1 else [x]


def _joined(to: Writer, steps: list[Tensor]) -> Tensor:
    return to.op("Concat", *steps, axis=0)


def _cell(to: Writer, gates: Tensor, k: Operand, c_prev: Tensor | None) -> tuple[Tensor, Tensor]:
    """c = k sigmoid(f) c_prev + sigmoid(i) tanh(g) and h = sigmoid(o) tanh(c); without c_prev it is zero."""
    size = to.tops[0][2]
    i, f, o, g = to.ops("Split", 4, gates, (size,) * 4, axis=2)
    c = to.op("Mul", to.op("Sigmoid", i), to.op("Tanh", g))
    if c_prev is not None:
        kept = to.op("Mul", to.op("Mul", to.op("Sigmoid", f), k), c_prev)
        c = to.op("Add", kept, c)
    return c, to.op("Mul", to.op("Sigmoid", o), to.op("Tanh", c))
