"""What LSTM and RNN share: bottoms and tops, the input's part of all time steps, the state between passes.

Names: T time steps, N independent streams, D numbers in each input, S in each static input, H = num_output. The
recurrence runs step by step, and everything that does not depend on the step before it is one product for all T.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from caffelite.layers.base import Layer
from caffelite.layers.sigmoid import sigmoid
from caffelite.types import Shape, count


class Recurrent(Layer):
    """A layer that runs over the first axis of x and keeps ``hidden`` states of shape (N, H) from step to step.

    A pass starts from where the one before it ended, as in Caffe: a 0 in the first row of ``cont`` starts anew.
    Gradients stay within a pass. A pass with another N than the one before starts from zeros, since no stream is
    known to go on. With ``expose_hidden`` the states come and go by bottoms and tops instead. As in Caffe no gradient
    takes that way, unless ``propagate_hidden`` (ours) is true: an encoder then learns through its decoder.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "cont", "static?", "h_0?")
    tops: ClassVar[tuple[str, ...]] = ("y", "h_T?")
    message: ClassVar[str] = "recurrent_param"
    unforced: ClassVar[tuple[str, ...]] = ("cont",)
    hidden: ClassVar[tuple[str, ...]] = ("h",)  # in the order of the bottoms and tops that expose them

    def setup(self) -> None:
        if self.p.num_output < 1:
            raise self.error(
                "num_output >= 1", self.p.num_output, "set recurrent_param.num_output", "num_output"
            )
        if self.p.propagate_hidden and not self.p.expose_hidden:
            raise self.error("expose_hidden: true beside propagate_hidden", "false", field="propagate_hidden")
        self._name_blobs()

    def _name_blobs(self) -> None:
        """Narrows what the class declares to the bottoms and tops that this layer can have."""
        shown = self.hidden if self.p.expose_hidden else ()
        given = len(self.spec.bottom)
        static = () if shown and given == 2 + len(shown) else ("static?",)
        bottoms = ("x", "cont", *static, *(f"{name}_0" for name in shown))
        tops = ("y", *(f"{name}_T" for name in shown))
        self.bottoms, self.tops = bottoms, tops  # type: ignore[misc]
        missing = [f"{name}_{at}" for name in self.hidden for at in "0T"] if not shown else []
        if not static or given < len(bottoms):
            missing.append("static")
        self.absent |= {prefix + name for name in missing for prefix in ("", "d")}
        if not self.p.propagate_hidden:
            self.absent |= {f"d{name}_T" for name in self.hidden}

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        """Checks the bottoms and sets T, N, D, S and H."""
        x = shapes[0]
        if len(x) < 2 or x[0] < 1 or count(x, 2) < 1:
            raise self.shape_error("x (T, N, ...) with T >= 1 time steps of at least 1 number", f"x={x}")
        (self.T, self.N), self.D, self.H = x[:2], count(x, 2), int(self.p.num_output)
        self._same_steps(x)
        self._check(shapes[1], "cont", (self.T, self.N))
        rest = list(shapes[2:])
        self.S = 0 if "static" in self.absent else self._static_size(rest.pop(0))
        for name, shape in zip(self.hidden, rest, strict=False):
            self._check(shape, f"{name}_0", (1, self.N, self.H))
        states = [(1, self.N, self.H)] * (len(self.tops) - 1)
        return [(self.T, self.N, self.H), *states]

    def _same_steps(self, x: Shape) -> None:
        steps = self.session.setdefault("steps", self.T)
        if steps != self.T:
            fix = "build a second net for other sequences; share_with gives it the same weights"
            raise self.shape_error(f"x with {steps} time steps, as when the net was built", f"x={x}", fix)

    def _check(self, shape: Shape, name: str, wanted: Shape) -> None:
        if shape != wanted:
            x = f"x (T={self.T}, N={self.N}, ...)"
            raise self.shape_error(f"{name} {wanted} beside {x} and num_output {self.H}", f"{name}={shape}")

    def _static_size(self, shape: Shape) -> int:
        size = count(shape, 1)
        if shape[:1] != (self.N,) or size < 1:
            raise self.shape_error(f"static (N={self.N}, ...), one row for each stream", f"static={shape}")
        return size

    def weights(self, name: str, rows: int, bias: str) -> None:
        """Declares the params of ``drive``: W (rows, D), its bias, and W_static (rows, S) if there is a static bottom."""
        weight_filler, bias_filler = self.filler("weight_filler"), self.filler("bias_filler")
        self.param(name, (rows, self.D), weight_filler)
        self.param(bias, (rows,), bias_filler)
        if self.S:
            self.param(f"{name}_static", (rows, self.S), weight_filler)
        else:
            self.no_param(f"{name}_static")

    # -- the inputs' part of all steps ------------------------------------------------------------------

    def drive(self, xp: Any, x: Any, static: Any, W: Any, b: Any, W_static: Any, out: Any) -> None:
        """Writes x W^T + b, and static W_static^T for each step, to ``out`` (T, N, rows of W)."""
        flat = out.reshape(self.T * self.N, W.shape[0])
        xp.matmul(x.reshape(self.T * self.N, self.D), W.T, out=flat)
        flat += b
        if static is not None:
            out += xp.matmul(static.reshape(self.N, self.S), W_static.T)

    def drive_backward(
        self, xp: Any, x: Any, static: Any, W: Any, W_static: Any, dout: Any,
        dx: Any, dstatic: Any, dW: Any, db: Any, dW_static: Any,
    ) -> None:  # fmt: skip
        """Gradients of ``drive`` from ``dout``."""
        flat = dout.reshape(self.T * self.N, W.shape[0])
        if dx is not None:
            dx[...] = xp.matmul(flat, W).reshape(dx.shape)
        if dW is not None:
            dW += xp.matmul(flat.T, x.reshape(self.T * self.N, self.D))
        if db is not None:
            db += flat.sum(axis=0)
        if static is None:
            return
        total = dout.sum(axis=0)
        if dstatic is not None:
            dstatic[...] = xp.matmul(total, W_static).reshape(dstatic.shape)
        if dW_static is not None:
            dW_static += xp.matmul(total.T, static.reshape(self.N, self.S))

    # -- the states between passes ----------------------------------------------------------------------

    def begin(self, xp: Any, *given: Any) -> list[Any]:
        """The states (N, H) to start from: ``given`` bottoms (1, N, H), else those of the pass before, else zeros."""
        if self.p.expose_hidden:
            return [state[0] for state in given]
        kept = self.session.get("hidden", [])
        fits = bool(kept) and kept[0].shape == (self.N, self.H)
        return [xp.asarray(state) for state in kept] if fits else [0.0] * len(self.hidden)

    def end(self, states: Sequence[Any], tops: Sequence[Any]) -> None:
        """Gives the last states (N, H) to ``tops`` (1, N, H), or keeps them for the next pass."""
        if not self.p.expose_hidden:
            self.session["hidden"] = [state.copy() for state in states]
            return
        for state, top in zip(states, tops, strict=True):
            top[0] = state

    def state(self) -> dict[str, Any]:
        kept = self.session.get("hidden")
        if not kept:
            return {}
        data = [base64.b64encode(np.ascontiguousarray(state).tobytes()).decode() for state in kept]
        return {"hidden": data, "shape": list(kept[0].shape), "dtype": str(kept[0].dtype)}

    def restore(self, state: dict[str, Any]) -> None:
        self.session["hidden"] = [
            np.frombuffer(base64.b64decode(data), state["dtype"]).reshape(state["shape"])
            for data in state["hidden"]
        ]

    def give(self, gradients: Sequence[Any], targets: Sequence[Any]) -> None:
        """Writes the gradients (N, H) of the states that a pass began with to those bottoms (1, N, H) that want them."""
        for gradient, target in zip(gradients, targets, strict=True):
            if target is not None:
                target[0] = gradient if self.p.propagate_hidden else 0


def add_to(total: Any, first: Any) -> Any:
    """``total + first``, where either may be None for zeros."""
    if first is None or total is None:
        return total if first is None else first
    return total + first


def cell(xp: Any, gates: Any, cont: Any, c_prev: Any, c: Any, h: Any) -> None:
    """One step of an LSTM: c = cont f c_prev + i g, h = o tanh(c), on arrays (N, H), cont (N, 1).

    ``gates`` (N, 4H) comes as sums in the order i, f, o, g and is left activated: sigmoid(i, f, o), tanh(g).
    """
    H = h.shape[1]
    i, f, o, g = (gates[:, k * H : (k + 1) * H] for k in range(4))
    sigmoid(xp, gates[:, : 3 * H], gates[:, : 3 * H])
    xp.tanh(g, out=g)
    xp.multiply(f, cont, out=c)
    c *= c_prev
    c += i * g
    xp.tanh(c, out=h)
    h *= o


def cell_backward(xp: Any, gates: Any, cont: Any, c_prev: Any, c: Any, dh: Any, dc: Any, dgates: Any) -> Any:
    """The gradient of c_prev; ``dgates`` gets that of the gates' sums. ``dc``: what reaches c but by h."""
    H = c.shape[1]
    i, f, o, g = (gates[:, k * H : (k + 1) * H] for k in range(4))
    tanh_c = xp.tanh(c)
    dc = add_to(dh * o * (1 - tanh_c * tanh_c), dc)
    forget = f * cont
    for k, slope in enumerate((dc * g, dc * c_prev * cont, dh * tanh_c)):
        gate = gates[:, k * H : (k + 1) * H]
        xp.multiply(slope, gate * (1 - gate), out=dgates[:, k * H : (k + 1) * H])
    xp.multiply(dc * i, 1 - g * g, out=dgates[:, 3 * H :])
    return dc * forget
