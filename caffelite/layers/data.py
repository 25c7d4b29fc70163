"""Data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape

if TYPE_CHECKING:
    from caffelite.data.source import DatumSource


class Data(Layer):
    """Batches of Datums from an LMDB, in the order of their keys, over and over.

    Tops:   data (N, C, H, W) as ``transform_param`` makes it, label (N,) if it is asked for. C, H and W are those
            of the first record after cropping.
    Raises: NetError for a batch_size below 1; MissingFileError and DataError for a database that is not there,
            foreign or broken.
    Compatibility: ``data_param.shuffle`` is ours: another order in each epoch, the same in every run with one seed.
            ``rand_skip`` does nothing, as in Caffe.
    Source: BVLC Caffe, data_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ()
    tops: ClassVar[tuple[str, ...]] = ("data", "label?")
    message: ClassVar[str] = "data_param"
    source: ClassVar[bool] = True
    extensions: ClassVar[tuple[str, ...]] = ("shuffle",)

    def setup(self) -> None:
        if self.p.batch_size < 1:
            raise self.error(
                "batch_size >= 1", self.p.batch_size, "batch_size: 64, for instance", field="batch_size"
            )
        if not self.p.source:
            raise self.error("a source", "none", 'source: "path/to/lmdb"', field="source")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        return list(self.feed.shapes().values())

    def next_shapes(self) -> Sequence[Shape]:
        return list(self.feed.shapes().values())

    def forward(self, xp: Any, data: Any, label: Any) -> None:
        self.feed.next({"data": data} if label is None else {"data": data, "label": label})

    def state(self) -> dict[str, Any]:
        return self.feed.state()

    def restore(self, state: dict[str, Any]) -> None:
        self.feed.restore(state)

    def close(self) -> None:
        if "feed" in self.session:
            self.session["feed"].close()

    @property
    def feed(self) -> DatumSource:
        """Where batches come from; it outlives a change of shape."""
        if "feed" not in self.session:
            self.session["feed"] = self._open()
        feed: DatumSource = self.session["feed"]
        return feed

    def _open(self) -> DatumSource:
        from caffelite.data.owner import Owner
        from caffelite.data.source import DatumSource
        from caffelite.data.transform import TransformParams

        backend = type(self.p).DB.Name(self.p.backend)
        return DatumSource(
            self.p.source,
            self.p.batch_size,
            TransformParams.from_message(self.spec.transform_param),
            self.phase,
            self.random,
            Owner(self.name, self.type, self.location()),
            backend=backend,
            shuffle=self.p.shuffle,
            label=len(self.spec.top) > 1,
            prefetch=self.p.prefetch,
        )
