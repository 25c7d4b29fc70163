"""SVMs on a Fast R-CNN's features, written into the net in place of its classifier (Girshick, "Fast R-CNN", 5.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from caffelite.boxes.boxes import Array
from caffelite.detection.dataset import DetectionSet
from caffelite.detection.one_image import features
from caffelite.detection.pictures import load_picture
from caffelite.detection.rcnn.regions import Regions, regions_of
from caffelite.detection.rcnn.svm import RCNN, SvmOptions, Svms, train_svms
from caffelite.errors import UsageError
from caffelite.model import Model

CLASSIFIER = "cls_score"


class _Rows:
    """Features of each picture's regions, computed when they are asked for: all of them would not fit in memory."""

    def __init__(self, net: Model, regions: Sequence[Regions], blob: str):
        self._net, self._regions, self._blob = net, regions, blob

    def __getitem__(self, i: int) -> Array:
        one = self._regions[i]
        return features(self._net, load_picture(one.picture.path), one.boxes, self._blob)


def learn_svms(
    net: Model,
    dataset: DetectionSet,
    proposals: Mapping[str, tuple[Array, Array]],
    options: SvmOptions = RCNN,
    tell: Callable[[str], None] | None = None,
) -> Svms:
    """SVMs on what layer ``cls_score`` reads, which get the layer's place in the net; background has margin 0.

    With ``cfg.TEST.SVM`` detectors then score by margins. Images are shown as ``cfg`` says.

    Raises UsageError for a net without such a layer or of other classes, and what ``train_svms`` does.
    """
    node = net.graph.node(CLASSIFIER)
    if node is None or node.type != "InnerProduct":
        raise UsageError(f"net '{net.name}': expected an InnerProduct layer '{CLASSIFIER}'")
    weights, biases = net.params_of(node)
    if len(biases.data) != len(dataset.classes) + 1:
        raise UsageError(
            f"net '{net.name}' tells {len(biases.data) - 1} classes apart, the data has {len(dataset.classes)}"
        )
    regions = regions_of(dataset.pictures, proposals)
    svms = train_svms(regions, _Rows(net, regions, node.bottoms[0].name), dataset.classes, options, tell)
    w = np.concatenate([np.zeros_like(svms.weights[:1]), svms.weights])
    weights.load(np.ascontiguousarray(w.T if node.layer.p.transpose else w))
    biases.load(np.concatenate([np.zeros(1, np.float32), svms.biases]))
    return svms
