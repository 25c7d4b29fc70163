"""MemoryData."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from caffelite.errors import ArrayError, layer_message
from caffelite.layers.base import Layer
from caffelite.types import Shape


class MemoryData(Layer):
    """Batches of arrays that the user hands over with ``net.set_input_arrays(data, labels)``, over and over.
    Of several such layers, ``layer="name"`` chooses the one; without it, as in pycaffe, the net's first layer is meant.

    Tops:   data (N, channels, height, width), label (N, 1, 1, 1), which is (N,) before the first pass, as in Caffe; N is
            ``batch_size``. Nothing is transformed.
    Raises: NetError for a size below 1; ArrayError for arrays that do not fit, and for a pass before there are any.
    Example: memory_data_param { batch_size: 2 channels: 3 height: 8 width: 8 }
    Source: BVLC Caffe, memory_data_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ()
    tops: ClassVar[tuple[str, ...]] = ("data", "label")
    message: ClassVar[str] = "memory_data_param"
    source: ClassVar[bool] = True

    def setup(self) -> None:
        for field in ("batch_size", "channels", "height", "width"):
            if getattr(self.p, field) < 1:
                raise self.error(f"{field} >= 1", getattr(self.p, field), field=field)

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        return [(self.p.batch_size, self.p.channels, self.p.height, self.p.width), (self.p.batch_size,)]

    def next_shapes(self) -> Sequence[Shape]:
        data, label = self.infer([])
        return [data, (*label, 1, 1, 1)]

    def set_arrays(self, data: Any, labels: Any) -> None:
        """Takes data (M, channels, height, width) and M labels, M a multiple of ``batch_size``.

        References are kept, not copies: what is written to the arrays later is seen. Starts at the first item.
        """
        wanted = self.infer([])[0][1:]
        for name, array in (("data", data), ("labels", labels)):
            if not isinstance(array, np.ndarray) or array.dtype != np.float32 or not array.flags.c_contiguous:
                fix = f"np.ascontiguousarray({name}, np.float32)"
                raise self._error(f"{name} as a C-contiguous float32 array", _described(array), fix)
        if data.ndim != 4 or data.shape[1:] != wanted:
            raise self._error(f"data of shape (M, {', '.join(map(str, wanted))})", data.shape)
        if labels.size != len(data) or labels.ndim not in (1, 4) or len(labels) != len(data):
            raise self._error(f"{len(data)} labels, of shape (M,) or (M, 1, 1, 1)", labels.shape)
        if not len(data) or len(data) % self.p.batch_size:
            raise self._error(
                f"first dimensions of input arrays to be a multiple of batch size {self.p.batch_size}",
                len(data),
            )
        self.session.update(data=data, labels=labels.reshape(-1, 1, 1, 1), position=0)

    def forward(self, xp: Any, data: Any, label: Any) -> None:
        if "data" not in self.session:
            raise self._error(
                "arrays before the first pass",
                "none",
                f"call net.set_input_arrays(data, labels, layer='{self.name}') (without layer, it is for the first layer)",
            )
        start = self.session["position"]
        end = start + self.p.batch_size
        data[...] = xp.asarray(self.session["data"][start:end])
        label[...] = xp.asarray(self.session["labels"][start:end])
        self.session["position"] = end % len(self.session["data"])

    def state(self) -> dict[str, Any]:
        return {"position": self.session["position"]} if "position" in self.session else {}

    def restore(self, state: dict[str, Any]) -> None:
        self.session["position"] = int(state["position"])

    def _error(self, expected: str, got: object, fix: str = "") -> ArrayError:
        return ArrayError(
            layer_message(self.name, self.type, self.location(), f"expected {expected}", str(got), fix)
        )


def _described(array: object) -> str:
    if not isinstance(array, np.ndarray):
        return type(array).__name__
    order = (
        ""
        if array.flags.c_contiguous
        else ", not C-contiguous (a slice, a transposed array or a reversed one)"
    )
    return f"{array.dtype}, shape {array.shape}{order}"
