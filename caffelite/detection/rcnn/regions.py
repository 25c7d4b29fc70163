"""The regions of a picture that R-CNN learns from: its objects, then its proposals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caffelite.boxes.boxes import Array, clip, overlaps
from caffelite.detection.dataset import Picture
from caffelite.errors import DataError

Boxes = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class Regions:
    """``boxes`` float32 (R, 4) in whole pixels of the picture; the first ``objects`` of them are its objects.

    Difficult objects are not among them.
    """

    picture: Picture
    boxes: Array
    objects: int

    @classmethod
    def of(cls, picture: Picture, proposals: Array) -> Regions:
        """The regions of a picture with proposals (K, 4)."""
        objects = picture.boxes[~picture.difficult]
        boxes = np.concatenate([objects, np.asarray(proposals, np.float32).reshape(-1, 4)])
        return cls(picture, whole(boxes, picture.height, picture.width), len(objects))

    @property
    def labels(self) -> Array:
        """Of the objects, int64 (objects,)."""
        labels: Array = self.picture.labels[~self.picture.difficult]
        return labels

    def free_of(self, label: int, threshold: float) -> Array:
        """Which proposals overlap with no object of a class by ``threshold`` or more, difficult ones included: bool (R,)."""
        same = self.picture.boxes[self.picture.labels == label]
        free = np.ones(len(self.boxes), bool)
        free[: self.objects] = False
        if len(same):
            free &= overlaps(self.boxes, same).max(axis=1) < threshold
        return free

    def near(self, threshold: float) -> tuple[Array, Array]:
        """The proposals that overlap with an object by more than ``threshold``, and that object: indices int64 (K,), (K,)."""
        if not self.objects or len(self.boxes) == self.objects:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        shares = overlaps(self.boxes[self.objects :], self.boxes[: self.objects])
        (near,) = np.nonzero(shares.max(axis=1) > threshold)
        return near + self.objects, shares[near].argmax(axis=1)


def whole(boxes: Array, height: int, width: int) -> Array:
    """Boxes rounded to pixels, as window files have them, and cut to the image."""
    return clip(np.rint(np.asarray(boxes, np.float32)), height, width)


def regions_of(pictures: Sequence[Picture], proposals: Mapping[str, Boxes]) -> list[Regions]:
    """The regions of all pictures. Raises DataError for a picture without proposals, not even none."""
    missing = [picture.key for picture in pictures if picture.key not in proposals]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(pictures)} pictures have no proposals, '{missing[0]}' for one\n"
            "  Fix: caffelite det propose, with the same data and split"
        )
    return [Regions.of(picture, proposals[picture.key][0]) for picture in pictures]
