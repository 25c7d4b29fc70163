"""HDF5Data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from caffelite.layers._feed import Feed

if TYPE_CHECKING:
    from caffelite.data.source import Source


class HDF5Data(Feed):
    """Batches of rows of HDF5 files that a text file lists; each top is the dataset of its name.

    Tops:   y, any number; (N, *row). Any type of numbers becomes float. Batches run on over ends of files. ``shuffle`` gives
            each epoch another order of files and of the rows in each; rows of chunked (compressed) data are shuffled
            among ``shuffle_mb`` MiB of them.
    Raises: NetError for a batch_size below 1; MissingFileError and DataError for files that are not there or broken,
            lack a dataset, or have rows of another shape or number than the others.
    Compatibility: files are read row by row as they are needed, and may be larger than the memory. ``transform_param``,
            which Caffe refuses, acts on the first top, whose rows are then images (C, H, W).
    Example: -> data, label; hdf5_data_param { source: "h5.txt" batch_size: 2 }
    Example: -> data, label; hdf5_data_param { source: "h5.txt" batch_size: 2 }
    Source: BVLC Caffe, hdf5_data_layer.cpp.
    """

    tops: ClassVar[tuple[str, ...]] = ("y*",)
    message: ClassVar[str] = "hdf5_data_param"

    def forward(self, xp: Any, y: Any) -> None:  # type: ignore[override]
        self.feed.next(dict(zip(self.spec.top, y, strict=True)))

    def open(self) -> Source:
        from caffelite.data.hdf5 import Hdf5Batches
        from caffelite.data.hdf5_file import read_hdf5_list
        from caffelite.data.source import Source

        transforms = self.spec.HasField("transform_param")
        batches = Hdf5Batches(
            read_hdf5_list(self.p.source, self.owner), list(self.spec.top), self.p.batch_size, self.own_random(),
            self.owner, shuffle=self.p.shuffle, memory=self.p.shuffle_mb << 20,
            transformer=self.transformer() if transforms else None,
        )  # fmt: skip
        return Source(
            batches, self.spec.data_param.prefetch, max_workers=1
        )  # each would hold rows to shuffle
