"""ImageData."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from caffelite.layers._feed import Feed

if TYPE_CHECKING:
    from caffelite.data.source import Source


class ImageData(Feed):
    """Batches of image files that a text file lists, one ``path label`` a line, in its order, over and over.

    Tops:   data (N, C, H, W): B, G, R, or grey without ``is_color``; resized to ``new_height`` x ``new_width`` if those
            are given, then as ``transform_param`` says. label (N,): the integer at the end of the line; with
            ``label_dim`` L (N, L): L numbers at the end of it. ``shuffle`` gives each epoch its own order; ``rand_skip``
            leaves out fewer images than that at the start.
    Raises: NetError for one of ``new_height`` and ``new_width`` alone; MissingFileError and DataError for a list that
            is not there or empty; for images of different sizes, and too many bad ones. An image that
            cannot be read is replaced by the next good one with a warning; more than ten, or one percent, are too many.
    Compatibility: ``label_dim`` is ours. Blanks and tabs around the label do not matter; empty lines are passed over.
    Example: -> data, label; image_data_param { source: "images.txt" batch_size: 2 new_height: 6 new_width: 6 }
    Example: image_data_param { source: "images.txt" batch_size: 2 }
    Source: BVLC Caffe, image_data_layer.cpp.
    """

    message: ClassVar[str] = "image_data_param"
    extensions: ClassVar[tuple[str, ...]] = ("label_dim",)

    def setup(self) -> None:
        super().setup()
        if bool(self.p.new_height) != bool(self.p.new_width):
            got = f"{self.p.new_height} and {self.p.new_width}"
            raise self.error("both new_height and new_width, or neither", got, field="new_height")

    def open(self) -> Source:
        from caffelite.data.image_list import ListBatches, Reading, read_image_list
        from caffelite.data.source import Source

        p, owner = self.p, self.owner
        images = read_image_list(p.source, p.label_dim, owner)
        reading = Reading(p.is_color, p.new_height, p.new_width, p.root_folder)
        batches = ListBatches(
            images, reading, p.batch_size, self.transformer(), self.own_random(), owner, p.shuffle,
            rand_skip=p.rand_skip,
        )  # fmt: skip
        return Source(batches, self.spec.data_param.prefetch)
