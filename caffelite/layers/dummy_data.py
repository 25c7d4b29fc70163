"""DummyData."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.fillers import fill
from caffelite.layers._shapes import one_for_each, read_shape
from caffelite.layers.base import Layer
from caffelite.types import Shape


class DummyData(Layer):
    """Arrays from fillers, for tests and timing. A constant is filled in once, the others anew in every pass.

    Tops:   y, any number; ``shape`` and ``data_filler`` once or once a top. Without a filler: zeros. The
            older num, channels, height and width give 4-D shapes.
    Raises: NetError for wrong numbers of shapes or fillers, or a size below 1.
    Example: dummy_data_param { shape { dim: 2 dim: 3 } data_filler { type: "uniform" } }
    Source: BVLC Caffe, dummy_data_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ()
    tops: ClassVar[tuple[str, ...]] = ("y*",)
    message: ClassVar[str] = "dummy_data_param"
    source: ClassVar[bool] = True

    def setup(self) -> None:
        tops = len(self.spec.top)
        fillers = list(self.p.data_filler)
        self.fillers = one_for_each(self, fillers, "data_filler", tops) if fillers else [None] * tops
        self._filled: set[int] = set()

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        tops = len(self.spec.top)
        legacy = [list(getattr(self.p, name)) for name in ("num", "channels", "height", "width")]
        if not any(legacy):
            found = one_for_each(self, [read_shape(self, s, "shape") for s in self.p.shape], "shape", tops)
        elif len(self.p.shape):
            raise self.error("either shape or num, channels, height and width", "both", field="shape")
        else:
            found = list(zip(*(one_for_each(self, sizes, "num", tops) for sizes in legacy), strict=True))
        for filler, shape in zip(self.fillers, found, strict=True):
            if min(shape, default=1) < 1:
                raise self.error("sizes >= 1", shape, field="num")
            self.check_filler(filler, shape, "a top")
        return found

    def forward(self, xp: Any, y: Any, rng: Any) -> None:
        for i, (filler, array) in enumerate(zip(self.fillers, y, strict=True)):
            if filler is None or filler.type == "constant":
                if i not in self._filled:  # what a user writes over a constant stays
                    array[...] = 0.0 if filler is None else filler.value
                    self._filled.add(i)
            else:
                array[...] = xp.asarray(fill(filler, array.shape, rng, array.dtype))
