"""WindowData."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from caffelite.layers._feed import Feed

if TYPE_CHECKING:
    from caffelite.data.source import Source

_log = logging.getLogger(__name__)


class WindowData(Feed):
    """R-CNN's data: windows cut out of images, in each batch background windows, then ``fg_fraction`` foreground ones.

    Tops:   data (N, 3, S, S), S = ``transform_param.crop_size``; label (N,), 0 for background. Windows are scaled to
            S x S with ``context_pad`` pixels of their surroundings on each side; ``crop_mode: "square"`` keeps their
            aspect. What lies outside of the image is 0, the mean. Windows are drawn with replacement, and
            mirrored with ``mirror``, in either phase.
    Raises: NetError for a crop_size that leaves no room; MissingFileError and DataError for a window file that is not
            there or broken, windows outside of their images, a mean that does not fit, and too many bad images. Windows
            of an image that cannot be read are replaced by those of the next one with a warning; more than ten such
            images, or one percent, are too many.
    Compatibility: a window belongs to the image that it stands under, whatever the numbers after ``#`` are.
            ``scale`` is that of window_data_param; the one of transform_param does nothing, as in Caffe, and a warning
            says so. ``cache_images`` keeps the files that were read, in each worker process.
    Example: -> data, label; window_data_param { source: "windows.txt" batch_size: 2 fg_threshold: 0.5 bg_threshold: 0.5
             fg_fraction: 0.5 } transform_param { crop_size: 6 }
    Example: window_data_param { source: "windows.txt" batch_size: 4 } transform_param { crop_size: 4 }
    Source: BVLC Caffe, window_data_layer.cpp; Girshick et al. 2014, appendix A.
    """

    message: ClassVar[str] = "window_data_param"

    def setup(self) -> None:
        super().setup()
        size, pad = self.spec.transform_param.crop_size, self.p.context_pad
        if size < 1:
            raise self.error("a crop_size in transform_param", "none", "transform_param { crop_size: 227 }")
        if size <= 2 * pad:
            raise self.error(f"crop_size > 2 * context_pad = {2 * pad}", size, field="context_pad")
        if self.p.crop_mode not in ("warp", "square"):
            raise self.error("crop_mode warp or square", self.p.crop_mode, field="crop_mode")
        if not 0 <= self.p.fg_fraction <= 1:
            raise self.error("fg_fraction from 0 to 1", self.p.fg_fraction, field="fg_fraction")
        if self.spec.transform_param.scale != 1:
            fix = f"remove it, or write scale: {self.spec.transform_param.scale:g} in window_data_param"
            _log.warning(
                "%s", self.owner.message("transform_param.scale does nothing here, as in Caffe", fix=fix)
            )

    def open(self) -> Source:
        from caffelite.data.source import Source
        from caffelite.data.window_file import read_window_file
        from caffelite.data.windows import WindowBatches, check_windows, crop_settings

        p, owner = self.p, self.owner
        windows = read_window_file(p.source, p.fg_threshold, p.bg_threshold, owner)
        cropping, mean = crop_settings(self.spec, owner)
        foreground = int(np.float32(p.batch_size) * np.float32(p.fg_fraction))
        check_windows(windows, foreground, p.batch_size - foreground, cropping.pads, owner)
        batches = WindowBatches(
            windows, p.batch_size, foreground, cropping, mean, self.own_random(), owner,
            mirror=self.spec.transform_param.mirror, root=p.root_folder, cache=p.cache_images,
        )  # fmt: skip
        return Source(batches, self.spec.data_param.prefetch)
