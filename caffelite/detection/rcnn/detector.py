"""A trained R-CNN: ``RcnnDetector.load("runs/rcnn").detect(image)``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.boxes.boxes import Array
from caffelite.detection.card import Card
from caffelite.detection.one_image import best, check_image, checked_boxes
from caffelite.detection.pictures import load_picture
from caffelite.detection.rcnn.crop_net import CropNet
from caffelite.detection.rcnn.machines import FILE, Machines
from caffelite.detection.rcnn.regions import whole
from caffelite.errors import UsageError
from caffelite.prototxt.suggest import suggestion

MODES = ("softmax", "svm", "svm+bb")
"""Who scores: the net's softmax, SVMs, or SVMs with box regression after them."""

Image = np.ndarray | str | os.PathLike[str]


class RcnnDetector:
    """A net for regions, with SVMs and box regression if there are any.

    ``mode``: one of MODES, by default the last that is possible; ``modes``: those that are. Scores are from 0 to 1: those
    of SVMs are 1 / (1 + exp(-margin)), so that 0.5 is an SVM's border between class and background.

    Raises UsageError for a net with another number of classes than the card, or machines of other classes or blobs.
    """

    def __init__(self, net: CropNet, card: Card, machines: Machines | None = None, mode: str = ""):
        self.net, self.card, self.machines = net, card, machines
        self.modes = MODES if machines else MODES[:1]
        classes = net.width(net.probabilities) - 1
        if classes != len(card.classes):
            raise UsageError(
                f"net '{net.net.name}' tells {classes} classes apart, but its card names {len(card.classes)}: "
                f"{', '.join(card.classes)}"
            )
        if machines:
            machines.check(card.classes)
            self._check_widths(machines)
        self.mode = self._checked(mode)

    def _checked(self, mode: str) -> str:
        if mode and mode not in self.modes:
            hint = "" if self.machines or mode not in MODES else f"\n  Fix: train SVMs; there is no {FILE}"
            raise UsageError(
                f"mode: expected {' or '.join(self.modes)}, got '{mode}'{suggestion(mode, self.modes)}{hint}"
            )
        return mode or self.modes[-1]

    def _check_widths(self, machines: Machines) -> None:
        parts = {
            machines.svm_blob: machines.svms.weights.shape[1],
            machines.box_blob: machines.regression.weights.shape[0],
        }
        for blob, width in parts.items():
            if self.net.width(blob) != width:
                raise UsageError(
                    f"{FILE}: expected blob '{blob}' to have {width} values for a region, the net has {self.net.width(blob)}"
                )

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str],
        weights: str | os.PathLike[str],
        card: Card,
        mode: str = "",
        **options: Any,
    ) -> RcnnDetector:
        """From a detector's folder or its test.prototxt; ``rcnn.npz`` beside it makes SVMs and box regression possible.

        Raises what CropNet.load and Machines.read do.
        """
        path = Path(source)
        file = (path if path.is_dir() else path.parent) / FILE
        machines = Machines.read(file) if file.exists() else None
        return cls(CropNet.load(path, weights, **options), card, machines, mode)

    def detect(
        self,
        image: Image,
        boxes: Array | None = None,
        score: float | None = None,
        nms: float | None = None,
        mode: str = "",
    ) -> Array:
        """Rows label, score, x1, y1, x2, y2 float32 (K, 6) of what is in an image, best first.

        ``image``: (H, W, 3) uint8, B, G, R, or a file. ``boxes`` (R, 4): where to look, by default where the card's method
        proposes. ``score``, ``nms``: in place of the card's. Boxes are in pixels of the image from 0, both corners inside.
        Raises DataError for what is no image or no boxes, UsageError for an unknown mode.
        """
        mode = self._checked(mode or self.mode)
        return self.detect_all(image, boxes, score, nms, [mode])[mode]

    def detect_all(
        self,
        image: Image,
        boxes: Array | None = None,
        score: float | None = None,
        nms: float | None = None,
        modes: Sequence[str] = (),
    ) -> dict[str, Array]:
        """What each mode finds, from one pass of the net."""
        im = image if isinstance(image, np.ndarray) else load_picture(image)
        check_image(im)
        proposed = self.regions(im) if boxes is None else checked_boxes(boxes)
        least = self.card.score if score is None else score
        overlap = self.card.nms if nms is None else nms
        answers = self._answers(im, whole(proposed, *im.shape[:2]), modes or self.modes)
        return {
            mode: best(scores, found, score=least, nms=overlap, limit=self.card.limit)
            for mode, (scores, found) in answers.items()
        }

    def _answers(self, im: Array, boxes: Array, modes: Sequence[str]) -> dict[str, tuple[Array, Array]]:
        """Scores (R, C + 1) and boxes (R, 4 (C + 1)) of each mode; class 0 is background."""
        wanted = [self.net.probabilities] if "softmax" in modes else []
        machines = self.machines
        if machines and set(modes) != {"softmax"}:
            wanted += [machines.svm_blob, *([machines.box_blob] if "svm+bb" in modes else [])]
        values = dict(zip(wanted, self.net.run(im, boxes, wanted), strict=True))
        same = np.tile(boxes, (1, len(self.card.classes) + 1))
        found = {}
        if "softmax" in modes:
            found["softmax"] = values[self.net.probabilities], same
        if machines and "svm" in "".join(modes):
            scores = _as_shares(machines.svms.margins(values[machines.svm_blob]))
            if "svm" in modes:
                found["svm"] = scores, same
            if "svm+bb" in modes:
                moved = machines.regression.boxes(values[machines.box_blob], boxes, *im.shape[:2])
                found["svm+bb"] = scores, np.concatenate([boxes, moved], axis=1)
        return found

    def regions(self, image: Array) -> Array:
        """Boxes (R, 4) that the card's method of proposals finds."""
        from caffelite.detection.proposals import propose

        return propose(image, self.card.proposals or "ss")[0]


def _as_shares(margins: Array) -> Array:
    """Margins (R, C) as scores from 0 to 1, background before them with none: float32 (R, C + 1)."""
    with np.errstate(over="ignore"):
        shares = 1 / (1 + np.exp(-margins.astype(np.float64)))
    return np.column_stack([np.zeros(len(margins)), shares]).astype(np.float32)
