"""A trained detector: a net, its weights and its card, from a folder or from a prototxt.

from caffelite.detection import detect

for box, label, score in detect("runs/shapes", "photo.jpg"):
    print(label, score, box)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from caffelite.boxes.boxes import Array
from caffelite.boxes.config import cfg
from caffelite.detection.card import CARD, Card
from caffelite.detection.detections import Detection, as_list
from caffelite.detection.finetune import warn_of_initial
from caffelite.detection.one_image import View, as_net, best, check_image, im_detect, shape_of_answers
from caffelite.detection.pictures import load_picture
from caffelite.detection.settings import settings
from caffelite.detection.testing import detect_set, proposed
from caffelite.errors import MissingFileError, UsageError
from caffelite.model import Model
from caffelite.net import Net
from caffelite.types import Phase

__all__ = ["Detector", "detect", "detect_set", "im_detect"]

NET, WEIGHTS = "test.prototxt", "detector.caffemodel"
"""Names of the files in a detector's folder, beside its card."""

Image = np.ndarray | str | os.PathLike[str]


class AnyDetector(Protocol):
    """What all detectors have, of whatever method."""

    card: Card

    def detect(
        self, image: Image, boxes: Array | None = None, score: float | None = None, nms: float | None = None
    ) -> Array:
        """Rows label, score, x1, y1, x2, y2 float32 (K, 6), best first."""


class Detector:
    """A Fast or Faster R-CNN with what its card says of it: ``Detector.load("runs/shapes")``.

    ``net``: in phase TEST, with weights. ``pairs``: settings in the form of ``--set`` that count more than the card's.
    While it looks at an image, the process-wide ``cfg`` is as the card has it: threads need processes of their own.

    Raises UsageError for a net that has another number of classes than the card.
    """

    def __init__(self, net: Net | Model, card: Card, pairs: Sequence[str] = ()):
        self.net, self.card, self.pairs = as_net(net), card, tuple(pairs)
        self._types = {node.type for node in self.net.model.nodes}
        with settings(card, self.pairs, self._types):
            classes = shape_of_answers(self.net, View.of())[1] - 1
        if classes != len(card.classes):
            raise UsageError(
                f"net '{self.net.name}' tells {classes} classes apart, but its card names {len(card.classes)}: "
                f"{', '.join(card.classes)}\n  Fix: the prototxt and {CARD} must be of the same detector"
            )

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str],
        weights: str | os.PathLike[str] | None = None,
        card: Card | None = None,
        pairs: Sequence[str] = (),
    ) -> AnyDetector:
        """The detector of a folder, or of a prototxt for testing.

        ``weights``: by default ``detector.caffemodel`` in the folder. ``card``: by default ``detector.json`` there, or,
        if there is none, what ``cfg`` says, with classes called by their numbers. A card of method rcnn makes a
        ``RcnnDetector``.

        Raises:
            MissingFileError: no net, no weights, or, for a folder, no card.
            UsageError, NetError, WeightsError: the files do not fit one another.
        """
        path = Path(source)
        if not path.exists():
            raise MissingFileError(path, "detector", "name a run's folder, or a prototxt for testing")
        folder = path if path.is_dir() else path.parent
        if card is None and (path.is_dir() or (folder / CARD).exists()):
            card = Card.read(folder)
        found = _weights(folder, weights)
        if card is not None and card.method == "rcnn":
            return _rcnn(path, found, card, pairs)
        file = path / NET if path.is_dir() else path
        if not file.exists():
            raise MissingFileError(file, "prototxt of a detector")
        net = Net(str(file), Phase.TEST)
        warn_of_initial(net.copy_from(str(found)))
        return cls(net, card or card_of(net), pairs)

    def detect(
        self, image: Image, boxes: Array | None = None, score: float | None = None, nms: float | None = None
    ) -> Array:
        """Rows label, score, x1, y1, x2, y2 float32 (K, 6) of what is in an image, best first.

        ``image``: (H, W, 3), B, G, R, or a file. ``boxes`` (R, 4): regions for a Fast R-CNN, which otherwise looks for
        them as its card says; a Faster R-CNN takes none. ``score``, ``nms``: in place of the card's. Boxes are in pixels of the image from 0, both
        corners inside. Raises what ``im_detect`` and ``load_picture`` do.
        """
        im = image if isinstance(image, np.ndarray) else load_picture(image)
        check_image(im)
        if boxes is None and "im_info" not in self.net.inputs:
            boxes = proposed(self.card, im)
        with settings(self.card, self.pairs, self._types) as config:
            scores, found = im_detect(self.net, im, boxes)
            usual = -np.inf if config.TEST.SVM else self.card.score  # of SVMs there are margins
            least = usual if score is None else score
            overlap = config.TEST.NMS if nms is None else nms
        return best(scores, found, score=least, nms=overlap, limit=self.card.limit)


def _weights(folder: Path, weights: str | os.PathLike[str] | None) -> Path:
    path = folder / WEIGHTS if weights is None else Path(weights)
    if not path.exists():
        fix = "train it: caffelite det train" if weights is None else ""
        raise MissingFileError(path, "weights of the detector", fix)
    return path


def _rcnn(path: Path, weights: Path, card: Card, pairs: Sequence[str]) -> AnyDetector:
    if pairs:
        raise UsageError(f"--set {pairs[0]}: a detector of method rcnn has no such settings")
    from caffelite.detection.rcnn.detector import RcnnDetector

    return cast(AnyDetector, RcnnDetector.load(path, weights, card))


def card_of(net: Net | Model, classes: Sequence[str] = ()) -> Card:
    """The card of a net that has none: sizes, means and suppression as ``cfg`` has them, classes by number."""
    net = as_net(net)
    count = shape_of_answers(net, View.of())[1] - 1
    test = cfg.TEST
    return Card(
        "faster" if "im_info" in net.inputs else "fast",
        "",
        tuple(classes) or tuple(f"class {label}" for label in range(1, count + 1)),
        tuple(cfg.PIXEL_MEANS.reshape(3).tolist()),
        test.SCALES,
        test.MAX_SIZE,
        test.NMS,
    )


def detect(
    net: AnyDetector | Net | Model | str | os.PathLike[str],
    image: Image,
    boxes: Array | None = None,
    *,
    score: float | None = None,
    nms: float | None = None,
    classes: Sequence[str] = (),
) -> list[Detection]:
    """What is in an image: ``[Detection(box, label, score), ...]``, best first.

    ``net``: a Detector, a detector's folder (which is read anew for each call), or a net that lives, of which ``classes``
    names the classes and ``cfg`` says the rest. The rest is as in ``Detector.detect``.
    """
    detector = _detector(net, classes)
    return as_list(detector.detect(image, boxes, score, nms), detector.card.classes)


def _detector(net: Any, classes: Sequence[str]) -> AnyDetector:
    if isinstance(net, Net | Model):
        return Detector(net, card_of(net, classes))
    return Detector.load(net) if isinstance(net, str | os.PathLike) else cast(AnyDetector, net)
