"""What the layers have in common that read their data from files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape

if TYPE_CHECKING:
    from caffelite.data.owner import Owner
    from caffelite.data.source import Source
    from caffelite.data.transform import Transformer
    from caffelite.random import RandomSource


class Feed(Layer):
    """A layer whose tops a :class:`caffelite.data.source.Source` fills.

    A record or image that cannot be read is passed over with a warning, and the next good one takes its place; more
    than ten different ones, or one percent of the data if that is more, are an error, and so are ten in a row.
    """

    bottoms: ClassVar[tuple[str, ...]] = ()
    tops: ClassVar[tuple[str, ...]] = ("data", "label")
    source: ClassVar[bool] = True
    host: ClassVar[bool] = True

    def setup(self) -> None:
        if self.p.batch_size < 1:
            raise self.error(
                "batch_size >= 1", self.p.batch_size, "batch_size: 64, for instance", field="batch_size"
            )
        if not self.p.source:
            raise self.error("a source", "none", 'source: "path/to/data"', field="source")

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
    def feed(self) -> Source:
        """Where batches come from; it outlives a change of shape."""
        if "feed" not in self.session:
            self.session["feed"] = self.open()
        feed: Source = self.session["feed"]
        return feed

    @abstractmethod
    def open(self) -> Source:
        """Opens the data. Raises MissingFileError, DataError."""

    # -- for subclasses ---------------------------------------------------------------------------------

    @property
    def owner(self) -> Owner:
        """Who the data belongs to: named in messages."""
        from caffelite.data.owner import Owner

        return Owner(self.name, self.type, self.location())

    def own_random(self) -> RandomSource:
        """Random numbers of the net's seed of now: a net that is seeded anew does not change a running source."""
        from caffelite.random import RandomSource

        return RandomSource(self.random.seed if self.random else -1)

    def transformer(self) -> Transformer:
        """What ``transform_param`` says. Raises MissingFileError, DataError."""
        from caffelite.data.transform import Transformer, TransformParams

        params = TransformParams.from_message(self.spec.transform_param)
        return Transformer(params, self.phase, self.owner)
