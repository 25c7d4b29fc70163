"""A detector as an ONNX model, with what a program must know to use it in JSON beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from caffelite import export
from caffelite.atomic import atomic_write
from caffelite.boxes.yaml_text import read_yaml
from caffelite.detection.config import Config
from caffelite.detection.detector import Detector
from caffelite.detection.one_image import View
from caffelite.detection.settings import settings
from caffelite.errors import UsageError
from caffelite.export import Report
from caffelite.model import Model
from caffelite.prototxt.source import NetSource, net_from_message
from caffelite.random import RandomSource

REGIONS = "regions"
"""Name of the output that ``bbox_pred`` is coded relative to; ``rois`` itself is read inside of the net."""


def export_onnx(
    detector: Detector,
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] = (0, 0),
    regions: int = 300,
    opset: int = 17,
    check: bool = True,
    tolerance: float = 1e-4,
) -> Report:
    """Writes ``path`` and ``path.json``.

    Inputs: data (1, 3, H, W) and im_info (1, 3), or for a Fast R-CNN rois (R, 5). Outputs: cls_prob (R, C), bbox_pred (R,
    4 C), and regions (R, 5) in pixels of the input. ``size``: H and W, by default the short side that the detector was
    tested with, for both. ``regions``: R of a Fast R-CNN.

    Raises UsageError for a size or an R below 1, and what ``caffelite.export.onnx`` does.
    """
    view = _view(detector)
    height, width = (side or view.scales[0] for side in size)
    if min(height, width, regions) < 1:
        raise UsageError(f"expected a size and regions of 1 or more, got {height}x{width} and {regions}")
    shapes: dict[str, tuple[int, ...]] = {"data": (1, 3, height, width)}
    shapes |= {"im_info": (1, 3)} if "im_info" in detector.net.inputs else {"rois": (regions, 5)}
    with settings(detector.card, detector.pairs) as config:
        source = as_exported(detector.net.model.source, config)
    model = Model(source, backward=False, seed=0)
    model.share_params(detector.net.model)
    report = export.onnx(
        model,
        None,
        Path(path),
        shapes=shapes,
        opset=opset,
        check=check,
        tolerance=tolerance,
        inputs=_example(shapes),
    )
    with atomic_write(f"{os.fspath(path)}.json") as file:
        file.write((json.dumps(_about(detector, view, shapes), indent=1, ensure_ascii=False) + "\n").encode())
    return report


def _view(detector: Detector) -> View:
    with settings(detector.card, detector.pairs) as config:
        return View.of(config)


def as_exported(source: NetSource, config: Config) -> NetSource:
    """A net whose proposal layer is of type Proposal, with py-faster-rcnn's settings written into it, and an output
    ``regions``.
    """
    message = type(source.message)()
    message.CopyFrom(source.message)
    for layer in message.layer:
        if layer.type == "Python" and layer.python_param.layer == "ProposalLayer":
            _make_native(layer, config)
        if layer.type == "Proposal":
            message.layer.add(name=REGIONS, type="Power", bottom=[layer.top[0]], top=[REGIONS])
            break
    return net_from_message(message, source.file)


def _make_native(layer: Any, config: Config) -> None:
    given, test = read_yaml(layer.python_param.param_str, "param_str"), config.TEST
    layer.type = "Proposal"
    layer.ClearField("python_param")
    p = layer.proposal_param
    p.feat_stride, p.base_size = given["feat_stride"], given.get("base_size", 16)
    p.ratio[:] = given.get("ratios", (0.5, 1, 2))
    p.scale[:] = given.get("scales", (8, 16, 32))
    p.pre_nms_topn, p.post_nms_topn = test.RPN_PRE_NMS_TOP_N, test.RPN_POST_NMS_TOP_N
    p.nms_thresh, p.min_size = test.RPN_NMS_THRESH, test.RPN_MIN_SIZE


def _example(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Inputs to compare on: noise of the size of pixels, and regions that lie in it."""
    rng = RandomSource(0).generator("export", "example")
    height, width = shapes["data"][2:]
    arrays = {"data": rng.normal(0, 60, shapes["data"]).astype(np.float32)}
    if "im_info" in shapes:
        return arrays | {"im_info": np.array([[height, width, 1]], np.float32)}
    count = shapes["rois"][0]
    corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), axis=1) * (width - 1, height - 1)
    rois = np.concatenate([np.zeros((count, 1)), corners.reshape(count, 4)], axis=1)
    return arrays | {"rois": rois.astype(np.float32)}


def _about(detector: Detector, view: View, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    return {
        "classes": ["__background__", *detector.card.classes],
        "means": list(view.means),
        "inputs": {name: list(shape) for name, shape in shapes.items()},
        "score": detector.card.score,
        "nms": detector.card.nms,
        "limit": detector.card.limit,
        "boxes": "x1, y1, x2, y2 in pixels from 0; width x2 - x1 + 1; bbox_pred dx, dy, dw, dh of each class relative to "
        "regions (columns 1 to 4), or rois",
        "bbox_reg": view.bbox_reg,
    }
