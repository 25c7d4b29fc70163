"""Data."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from caffelite.layers._feed import Feed

if TYPE_CHECKING:
    from caffelite.data.datum_source import DatumSource


class Data(Feed):
    """Batches of Datums from an LMDB or a LevelDB, in the order of their keys, over and over.

    Tops:   data (N, C, H, W) as ``transform_param`` makes it; label if it is asked for: (N,), or (N, L) for records
            with vectors of labels. C, H and W are those of the batch's first record, after cropping.
    Raises: NetError for a batch_size below 1; MissingFileError and DataError for a database that is not there,
            foreign or broken; for records of another shape, and too many bad ones. A bad record is
            replaced by the next good one with a warning; more than ten, or one percent, are too many.
    Compatibility: ``backend`` is LEVELDB unless it is given, as in Caffe. ``data_param.shuffle`` is ours: another order
            in each epoch, the same in every run with one seed; so are ``labels`` of a Datum. ``rand_skip`` does
            nothing, as in Caffe. Batches of encoded images are made by worker processes and, unless cropped or of
            one image each, must all have the first one's shape.
    Example: -> data, label; data_param { source: "pictures" backend: LMDB batch_size: 2 } transform_param { crop_size: 6
             mean_value: 128 }
    Example: -> data, label; data_param { source: "pictures" backend: LMDB batch_size: 2 }
    Source: BVLC Caffe, data_layer.cpp.
    """

    tops: ClassVar[tuple[str, ...]] = ("data", "label?")
    message: ClassVar[str] = "data_param"
    extensions: ClassVar[tuple[str, ...]] = ("shuffle",)

    def open(self) -> DatumSource:
        from caffelite.data.datum_source import DatumSource
        from caffelite.data.transform import TransformParams

        return DatumSource(
            self.p.source,
            self.p.batch_size,
            TransformParams.from_message(self.spec.transform_param),
            self.phase,
            self.random,
            self.owner,
            backend=self.choice("backend", "LMDB", "LEVELDB"),
            shuffle=self.p.shuffle,
            label=len(self.spec.top) > 1,
            prefetch=self.p.prefetch,
        )
