"""``roi_data_layer.layer``, the data layer of py-faster-rcnn's training prototxts, for which no file is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from caffelite.boxes.boxes import Array
from caffelite.boxes.config import cfg
from caffelite.boxes.images import ImageCache, image_blob, prepared, read_image
from caffelite.boxes.rpn_layers import BoxLayer
from caffelite.boxes.targets import by_class, choose
from caffelite.errors import DataError, UsageError

_RPN = ("data", "im_info", "gt_boxes")
_FAST = ("data", "rois", "labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights")
_NO_IMAGES = (
    "it has no images\n"
    "  Fix: 'caffelite det train FOLDER --data DATA -o RUN' trains the nets of a folder on a data set; in Python, "
    "net.layers[0].set_roidb(roidb) before the first pass"
)


class RoIDataLayer(BoxLayer):
    """Images with their annotated boxes, or with a choice of proposals and targets.

    The tops say which: a top ``gt_boxes`` asks for the first, ``rois`` for the second, other names leave it to
    ``cfg.TRAIN.HAS_RPN``. In what follows HAS_RPN stands for the first.

    ``net.layers[0].set_roidb(roidb)`` takes a list with a dict for each image (mirror images have their own),

        image                  path (decoded images are kept up to TRAIN.IMAGE_CACHE_MB), or (H, W, 3) uint8 B, G, R
        flipped                whether the image is to be mirrored; its boxes are already
        boxes (K, 4)           annotated boxes and proposals, in pixels of the image
        gt_classes (K,)        class of the annotated ones, 0 for proposals (HAS_RPN)
        max_overlaps (K,), max_classes (K,), bbox_targets (K, 5), rows of class, dx, dy, dw, dh (without HAS_RPN)
        width, height          for ASPECT_GROUPING without reading the images

    The order is drawn anew for each epoch from the net's seed, and a resumed run goes on in it. No image is left out:
    if the last batch of an epoch is short, images of this epoch fill it. Tops with HAS_RPN: data (N, 3, H, W), im_info
    (N, 3), gt_boxes (G, 5), or (G, 6) with the image's number first if N is not 1. Without: data, rois (R, 5), labels
    (R,), and with BBOX_REG targets, inside and outside weights (R, 4 num_classes), or, with five tops, no outside ones.
    """

    known = required = ("num_classes",)

    def setup(self, bottom: Any, top: Any) -> None:
        super().setup(bottom, top)
        self.roidb: Sequence[Mapping[str, Any]] = ()
        self.batches, self.images = 0, ImageCache()
        self.latest: Sequence[Mapping[str, Any]] = ()  # the entries of the last batch
        self._epoch = (-1, np.empty((0, 0), np.int64))
        self._check_counts()
        columns = 4 * self.params["num_classes"]
        image = (cfg.TRAIN.IMS_PER_BATCH, 3, max(cfg.TRAIN.SCALES), cfg.TRAIN.MAX_SIZE)
        boxes = (1, 5) if image[0] == 1 else (1, 6)
        shapes = {"data": image, "im_info": (image[0], 3), "gt_boxes": boxes, "rois": (1, 5), "labels": (1,)}
        names: tuple[str, ...] = _RPN if self.has_rpn else _FAST if cfg.TRAIN.BBOX_REG else _FAST[:3]
        if len(top) == 5 and names == _FAST:  # the first Fast R-CNN had one kind of weights
            names = _FAST[:5]
        if len(top) != len(names):
            fix = "the prototxt and cfg.TRAIN.HAS_RPN, BBOX_REG must be of the same method"
            raise UsageError(f"expected {len(names)} tops ({', '.join(names)}), got {len(top)}\n  Fix: {fix}")
        for name, blob in zip(names, top, strict=True):
            blob.reshape(*shapes.get(name, (1, columns)))

    def _check_counts(self) -> None:
        c = cfg.TRAIN
        least = {"IMS_PER_BATCH": 1, "SIZE_MULTIPLE": 1, "MAX_SIZE": 1}
        least |= {} if self.has_rpn else {"BATCH_SIZE": c.IMS_PER_BATCH}
        for name, limit in least.items():
            if c[name] < limit:
                raise UsageError(f"cfg.TRAIN.{name}: expected at least {limit}, got {c[name]}")
        if min(c.SCALES) < 1:
            raise UsageError(f"cfg.TRAIN.SCALES: expected numbers of pixels of at least 1, got {c.SCALES}")

    @property
    def has_rpn(self) -> bool:
        names = self.layer_param.top
        return "gt_boxes" in names or ("rois" not in names and bool(cfg.TRAIN.HAS_RPN))

    def set_roidb(self, roidb: Sequence[Mapping[str, Any]]) -> None:
        """Takes the images. Raises DataError for none, or an entry without what the method needs."""
        needed = {"image", "boxes"}
        needed |= {"gt_classes"} if self.has_rpn else {"max_overlaps", "max_classes"}
        needed |= {"bbox_targets"} if cfg.TRAIN.BBOX_REG and not self.has_rpn else set()
        for i, entry in enumerate(roidb):
            if missing := needed - entry.keys():
                raise DataError(f"roidb[{i}]: expected {', '.join(sorted(missing))}, got {sorted(entry)}")
        if not len(roidb):
            raise DataError("expected a roidb with at least one image, got an empty one")
        self.roidb, self._epoch = roidb, (-1, self._epoch[1])

    # -- which images -----------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        return {"batches": self.batches}

    def restore(self, state: dict[str, Any]) -> None:
        self.batches = state["batches"]

    def _next(self) -> list[Mapping[str, Any]]:
        size = cfg.TRAIN.IMS_PER_BATCH
        epoch, at = divmod(self.batches, -(-len(self.roidb) // size))
        if self._epoch[0] != epoch or self._epoch[1].shape[1] != size:
            self._epoch = epoch, self._order(epoch, size)
        self.batches += 1
        return [self.roidb[i] for i in self._epoch[1][at]]

    def _order(self, epoch: int, size: int) -> Array:
        """The batches of an epoch (B, size); with ASPECT_GROUPING upright images beside upright ones."""
        order = self.random.permutation(len(self.roidb), self.name, "order", epoch)
        if cfg.TRAIN.ASPECT_GROUPING and size > 1:
            tall = np.array([self._is_tall(self.roidb[i]) for i in order])
            order = np.concatenate([order[tall], order[~tall]])
        count = -(-len(order) // size)
        batches: Array = np.resize(order, (count, size))
        return np.asarray(batches[self.random.permutation(count, self.name, "batches", epoch)])

    def _is_tall(self, entry: Mapping[str, Any]) -> bool:
        if "width" in entry and "height" in entry:
            return bool(entry["height"] > entry["width"])
        height, width = read_image(entry["image"]).shape[:2]
        return bool(height > width)

    # -- what of them -----------------------------------------------------------------------------------

    def forward(self, bottom: Any, top: Any) -> None:
        if not self.roidb:
            raise UsageError(_NO_IMAGES)
        self.latest = entries = self._next()
        sizes = self.rng.integers(0, len(cfg.TRAIN.SCALES), len(entries))
        images, scales = [], []
        for entry, size in zip(entries, sizes, strict=True):
            image = self.images.read(entry["image"], cfg.TRAIN.IMAGE_CACHE_MB << 20)
            image = image[:, ::-1] if entry.get("flipped") else image
            made, scale = prepared(image, cfg.PIXEL_MEANS, cfg.TRAIN.SCALES[size], cfg.TRAIN.MAX_SIZE)
            images.append(made)
            scales.append(scale)
        blobs = self._annotated if self.has_rpn else self._sampled
        data = image_blob(images, cfg.TRAIN.SIZE_MULTIPLE)
        self._deliver(top, [data, *blobs(entries, images, scales)])

    def _annotated(
        self, entries: list[Mapping[str, Any]], images: list[Array], scales: list[float]
    ) -> list[Array]:
        infos = [[*image.shape[:2], scale] for image, scale in zip(images, scales, strict=True)]
        rows = []
        for i, (entry, scale) in enumerate(zip(entries, scales, strict=True)):
            classes = np.asarray(entry["gt_classes"])
            boxes = np.asarray(entry["boxes"], np.float64)[classes != 0] * scale
            made = np.concatenate([boxes, classes[classes != 0, None]], axis=1)
            rows.append(made if len(entries) == 1 else np.insert(made, 0, i, axis=1))
        return [np.asarray(infos, np.float32), np.concatenate(rows).astype(np.float32)]

    def _sampled(
        self, entries: list[Mapping[str, Any]], images: list[Array], scales: list[float]
    ) -> list[Array]:
        parts = [self._sample(i, *pair) for i, pair in enumerate(zip(entries, scales, strict=True))]
        return [np.concatenate(values) for values in zip(*parts, strict=True)]

    def _sample(self, item: int, entry: Mapping[str, Any], scale: float) -> list[Array]:
        c, overlaps = cfg.TRAIN, np.asarray(entry["max_overlaps"])
        batch = c.BATCH_SIZE // c.IMS_PER_BATCH
        objects, chosen = choose(
            overlaps, batch, c.FG_FRACTION, c.FG_THRESH, (c.BG_THRESH_LO, c.BG_THRESH_HI), self.rng
        )
        rois = np.float32(np.asarray(entry["boxes"], np.float64)[chosen] * scale)
        labels = np.asarray(entry["max_classes"], np.float32)[chosen]
        labels[objects:] = 0
        made = [np.insert(rois, 0, item, axis=1), labels]
        if c.BBOX_REG:
            codes = np.asarray(entry["bbox_targets"], np.float32)[chosen]
            targets, inside = by_class(
                codes[:, 1:], codes[:, 0].astype(np.int64), self.params["num_classes"], c.BBOX_INSIDE_WEIGHTS
            )
            made += [targets, inside, (inside > 0).astype(np.float32)]
        return made
