"""Detectors as ONNX models that compute the same in onnxruntime."""

from __future__ import annotations

import json

import numpy as np
import pytest

from caffelite.detection import Detector
from caffelite.detection.exporting import export_onnx
from caffelite.detection.one_image import View, im_detect, image_blobs
from caffelite.errors import ExportError, UsageError
from caffelite.export import onnx
from caffelite.prototxt.source import parse_net

from .small_detectors import FAST, FASTER, FASTER_MODULE, MODULE_SETTINGS, NATIVE, boxes, folder_of, image

runtime = pytest.importorskip("onnxruntime")
VIEW = View((102.9801, 115.9465, 122.7717), (40,), 80, dedup=0)


def ran(path, **inputs):
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


@pytest.mark.parametrize("text", [FASTER, FASTER_MODULE], ids=["type", "module"])
def test_faster_in_one_model(tmp_path, text):
    config = {f"TEST.{key}": value for key, value in MODULE_SETTINGS.items()}
    detector = Detector.load(folder_of(tmp_path / "run", text, scales=(40,), config=config))
    report = export_onnx(detector, tmp_path / "net.onnx", size=(40, 52))
    assert report.ok and set(report.outputs) == {"cls_prob", "bbox_pred", "regions"}
    data, (scale,) = image_blobs(image(), VIEW)
    found = ran(tmp_path / "net.onnx", data=data, im_info=np.array([[*data.shape[2:], scale]], np.float32))
    detector.detect(image())
    for name, blob in (("cls_prob", "cls_prob"), ("bbox_pred", "bbox_pred"), ("regions", "rois")):
        np.testing.assert_allclose(found[name], detector.net.blobs[blob].data, rtol=1e-3, atol=1e-3)


def test_smaller_images_lie_in_the_corner(tmp_path):
    """im_info cuts the proposals to the part that the image fills."""
    detector = Detector.load(folder_of(tmp_path / "run", scales=(40,)))
    export_onnx(detector, tmp_path / "net.onnx", size=(48, 64))
    data = np.zeros((1, 3, 48, 64), np.float32)
    data[:, :, :40, :52] = image_blobs(image(), VIEW)[0]
    found = ran(tmp_path / "net.onnx", data=data, im_info=np.array([[40, 52, 1]], np.float32))
    assert found["regions"][:, 3].max() <= 51 and found["regions"][:, 4].max() <= 39


def test_fast(tmp_path):
    detector = Detector.load(folder_of(tmp_path / "run", FAST, "fast", scales=(40,)))
    report = export_onnx(detector, tmp_path / "net.onnx", size=(40, 52), regions=25)
    assert report.ok
    data, _ = image_blobs(image(), VIEW)
    rois = np.insert(boxes(25), 0, 0, axis=1)
    found = ran(tmp_path / "net.onnx", data=data, rois=rois)
    np.testing.assert_allclose(
        found["cls_prob"], im_detect(detector.net, image(), boxes(25), VIEW)[0], rtol=1e-4
    )


def test_what_a_program_must_know_stands_beside_it(tmp_path):
    detector = Detector.load(folder_of(tmp_path / "run", scales=(40,)))
    export_onnx(detector, tmp_path / "net.onnx", check=False)
    about = json.loads((tmp_path / "net.onnx.json").read_text())
    assert about["classes"] == ["__background__", "circle", "square", "triangle"]
    assert about["inputs"] == {"data": [1, 3, 40, 40], "im_info": [1, 3]}
    assert about["nms"] == 0.3 and len(about["means"]) == 3


def test_sizes_that_cannot_be(tmp_path):
    detector = Detector.load(folder_of(tmp_path / "run", FAST, "fast"))
    with pytest.raises(UsageError, match="1 or more"):
        export_onnx(detector, tmp_path / "net.onnx", regions=0)
    assert not list(tmp_path.glob("*.onnx*"))


def test_several_images_are_refused_by_name(tmp_path):
    shapes = {"data": (2, 3, 32, 32), "im_info": (2, 3)}
    with pytest.raises(ExportError, match="layer 'proposal' .*\n?.*one image at a time"):
        onnx(parse_net(FASTER), None, tmp_path / "net.onnx", shapes=shapes)
    with pytest.raises(ExportError, match="proposal"):
        onnx(parse_net(FASTER), None, tmp_path / "net.onnx", batch="N")


@pytest.mark.parametrize(
    "change",
    [
        ("post_nms_topn: 30", "post_nms_topn: 0"), ("pre_nms_topn: 120", "pre_nms_topn: 0"), ("min_size: 3", "min_size: 12"),
        ("nms_thresh: 0.6", "nms_thresh: 0.1"), ("pre_nms_topn: 120", "pre_nms_topn: 7"),
    ],
)  # fmt: skip
def test_parameters_of_the_proposal_layer(tmp_path, change):
    text = FASTER.replace(NATIVE, NATIVE.replace(*change))
    assert text != FASTER
    report = export_onnx(Detector.load(folder_of(tmp_path / "run", text, scales=(40,))), tmp_path / "n.onnx")
    assert report.ok
