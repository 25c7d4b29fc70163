"""R-CNN detectors: what each mode says, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

import caffelite
from caffelite.boxes.nms import nms
from caffelite.detection import Detector
from caffelite.detection.rcnn.bbox_regression import BoxRegression
from caffelite.detection.rcnn.comparison import Comparison
from caffelite.detection.rcnn.crop_net import CropNet, window_layer
from caffelite.detection.rcnn.detector import MODES, RcnnDetector
from caffelite.detection.rcnn.machines import FILE, Machines
from caffelite.detection.rcnn.regions import whole
from caffelite.detection.rcnn.svm import Svms
from caffelite.errors import DataError, UsageError
from caffelite.prototxt.source import read_net

from ..sets import dataset, picture
from .rcnns import CLASSES, boxes, image, rcnn_folder


def machines(classes=CLASSES, width=8):
    rng = np.random.default_rng(5)
    C = len(classes)
    svms = Svms(rng.normal(0, 1, (C, width)).astype(np.float32), rng.normal(0, 1, C).astype(np.float32))
    moves = BoxRegression(
        rng.normal(0, 0.01, (64, 4 * C)).astype(np.float32), rng.normal(0, 0.1, 4 * C).astype(np.float32)
    )
    return Machines(tuple(classes), "fc", "conv", svms, moves)


@pytest.fixture
def folder(tmp_path):
    rcnn_folder(tmp_path / "rcnn")
    return tmp_path / "rcnn"


def plain(scores, found, limit=100, least=0.1, overlap=0.3):
    """Detections of scores (R, C) and boxes (R, C, 4), class by class."""
    rows = []
    for label in range(scores.shape[1]):
        (left,) = np.nonzero(scores[:, label] > least)
        for i in left[nms(found[left, label], scores[left, label], overlap)]:
            rows.append([label + 1, scores[i, label], *found[i, label]])
    return np.array(sorted(rows, key=lambda row: -row[1])[:limit], np.float32)


def test_modes_against_plain_arithmetic(folder):
    machines().write(folder)
    detector, im = Detector.load(folder), image()
    assert isinstance(detector, RcnnDetector) and detector.mode == "svm+bb" and detector.modes == MODES
    some = whole(boxes(70), *im.shape[:2])
    prob, fc, conv = detector.net.run(im, some, ["prob", "fc", "conv"])
    kept = machines()
    shares = 1 / (1 + np.exp(-(fc @ kept.svms.weights.T + kept.svms.biases)))
    still = np.repeat(some[:, None], 3, axis=1)
    moved = kept.regression.boxes(conv, some, *im.shape[:2]).reshape(-1, 3, 4)
    found = detector.detect_all(im, some)
    np.testing.assert_allclose(found["softmax"], plain(prob[:, 1:], still), atol=1e-4)
    np.testing.assert_allclose(found["svm"], plain(shares, still), atol=1e-4)
    np.testing.assert_allclose(found["svm+bb"], plain(shares, moved), atol=1e-3)
    np.testing.assert_array_equal(detector.detect(im, some), found["svm+bb"])
    np.testing.assert_array_equal(detector.detect(im, some, mode="softmax"), found["softmax"])


def test_without_machines_softmax_scores(folder):
    detector = Detector.load(folder)
    assert detector.modes == ("softmax",)
    assert len(detector.detect(image()))  # regions by the card's method
    assert detector.detect(image(), np.zeros((0, 4))).shape == (0, 6)
    assert (detector.detect(image(), boxes(40), score=0.3)[:, 1] > 0.3).all()
    with pytest.raises(UsageError, match=rf"(?s)expected softmax, got 'svm'.*train SVMs; there is no {FILE}"):
        detector.detect(image(), mode="svm")


def test_wrong_images_and_boxes(folder):
    detector = Detector.load(folder)
    with pytest.raises(DataError, match=r"expected an image \(H, W, 3\)"):
        detector.detect(np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"expected boxes \(R, 4\)"):
        detector.detect(image(), np.zeros((3, 5)))


def test_machines_of_another_detector(folder):
    machines(("circle", "square")).write(folder)
    with pytest.raises(
        UsageError, match="rcnn.npz is for classes circle, square, the detector for circle, square, triangle"
    ):
        Detector.load(folder)
    machines(width=9).write(folder)
    with pytest.raises(UsageError, match="expected blob 'fc' to have 9 values for a region, the net has 8"):
        Detector.load(folder)
    (folder / FILE).write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="rcnn.npz' cannot be read as SVMs and box regression"):
        Detector.load(folder)
    np.savez(folder / FILE, classes=["a"], svm_blob="fc", box_blob="conv", svm_weights=np.ones((2, 8)),
             svm_biases=np.ones(1), box_weights=np.ones((64, 4)), box_biases=np.ones(4))  # fmt: skip
    with pytest.raises(DataError, match=r"arrays do not fit 1 classes: svm_weights \(2, 8\)"):
        Detector.load(folder)


def test_card_of_other_classes(tmp_path):
    rcnn_folder(tmp_path / "rcnn", ("a", "b"))
    with pytest.raises(UsageError, match="tells 3 classes apart, but its card names 2: a, b"):
        Detector.load(tmp_path / "rcnn")


def test_nets_of_other_inputs(folder):
    text = (folder / "test.prototxt").read_text()
    (folder / "test.prototxt").write_text(text.replace("dim: 16", "dim: 24"))
    net, layer = (
        caffelite.Net(str(folder / "test.prototxt")),
        window_layer(read_net(folder / "train.prototxt")),
    )
    with pytest.raises(
        UsageError, match=r"one input \(N, 3, 16, 16\), as WindowData crops, got data \(1, 3, 24, 24\)"
    ):
        CropNet(net, layer)


def test_modes_side_by_side(folder):
    machines().write(folder)
    detector = Comparison(Detector.load(folder))
    rows = detector.detect(image(), boxes(30))
    best = rows[0]
    there = dataset(picture("p", [best[2:]], [int(best[0])]), classes=CLASSES)
    assert detector.reports(there)["svm+bb"].map07 == 1
    lines = detector.text(there).splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(MODES) and lines[3].split()[1] == "1.000"


def test_weights_that_lack_a_layer_are_told(folder, caplog):
    file = folder / "test.prototxt"
    file.write_text(file.read_text().replace('name: "fc"', 'name: "fc7"'))
    Detector.load(folder)
    assert "detector.caffemodel' has nothing for fc7, which keep the values of their fillers" in caplog.text
