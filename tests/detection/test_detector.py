"""Detectors from folders, detect, and detectors over whole sets."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import cv2
import numpy as np
import pytest

import caffelite
from caffelite.detection import Card, Detection, Detector, detect, detect_set, load_set
from caffelite.detection.config import cfg
from caffelite.detection.testing import FILE, Times, assess, load_for
from caffelite.errors import DataError, MissingFileError, SnapshotError, UsageError

from .files import listed, thing, voc
from .sets import dataset, picture
from .small_detectors import CLASSES, FAST, FASTER, FASTER_MODULE, boxes, folder_of, image, net_of


def data_of(tmp_path, *names, split="test"):
    """A VOC folder with a picture for each class name."""
    for k, name in enumerate(names):
        voc(tmp_path / "data", thing(3, 3, 30, 20, name=name), key=f"00000{k}")
    listed(tmp_path / "data", split, *(f"00000{k}" for k in range(len(names))))
    return tmp_path / "data"


# -- one image ---------------------------------------------------------------------------------------------------


def test_detect_gives_boxes_with_names(tmp_path):
    run = folder_of(tmp_path / "run")
    found = detect(run, image())
    assert found and all(isinstance(one, Detection) for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for (x1, y1, x2, y2), label, score in found:
        assert 0 <= x1 <= x2 <= 51 and 0 <= y1 <= y2 <= 39
        assert label in CLASSES and 0.05 < score <= 1
    assert found == detect(str(run), image()) == detect(Detector.load(run), image())


def test_a_file_is_read_upright(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), image())
    detector = Detector.load(folder_of(tmp_path / "run"))
    np.testing.assert_array_equal(detector.detect(tmp_path / "a.png"), detector.detect(image()))


def test_score_nms_and_limit(tmp_path):
    run = folder_of(tmp_path / "run", limit=5)
    detector = Detector.load(run)
    assert len(detector.detect(image())) == 5
    detector.card = replace(detector.card, limit=1000)
    everything = detector.detect(image(), score=0.0, nms=1.0)
    some = detector.detect(image(), score=0.3)
    assert len(everything) > len(some) and (some[:, 1] > 0.3).all()
    assert len(detector.detect(image(), nms=0.0)) < len(everything)


def test_the_card_says_how_images_are_shown_and_cfg_stays(tmp_path):
    before = cfg.copied()
    detector = Detector.load(folder_of(tmp_path / "run", scales=(24,), means=(0, 0, 0)))
    detector.detect(image())
    assert detector.net.blobs["data"].shape == (1, 3, 24, 31)
    assert all(np.array_equal(cfg[key], before[key]) for key in before)


def test_settings_of_the_card_reach_python_layers(tmp_path):
    config = {"TEST.RPN_POST_NMS_TOP_N": 3, "TEST.RPN_MIN_SIZE": 2}
    detector = Detector.load(folder_of(tmp_path / "run", FASTER_MODULE, config=config))
    detector.detect(image())
    assert detector.net.blobs["rois"].shape == (3, 5)
    more = Detector.load(tmp_path / "run", pairs=["TEST.RPN_POST_NMS_TOP_N", "4"])
    more.detect(image())
    assert more.net.blobs["rois"].shape == (4, 5)


def test_settings_that_a_layer_has_itself_are_refused(tmp_path):
    run = folder_of(tmp_path / "run")
    with pytest.raises(UsageError, match=r"Proposal layer has it as a parameter\n  Fix: .*post_nms_topn"):
        Detector.load(run, pairs=["TEST.RPN_POST_NMS_TOP_N", "4"])


def test_a_fast_rcnn_looks_where_its_card_says(tmp_path):
    detector = Detector.load(folder_of(tmp_path / "run", FAST, "fast", limit=1000))
    assert len(detector.detect(image())) > 0
    one = detector.detect(image(), np.array([[3, 3, 20, 20]]), score=0)
    assert len(one) == 3


def test_svm_margins_have_no_least_score(tmp_path):
    run = folder_of(tmp_path / "run", FAST, "fast", config={"TEST.SVM": True}, limit=1000)
    rows = Detector.load(run).detect(image(), boxes())
    assert rows[:, 1].min() < 0


def test_images_without_anything(tmp_path):
    run = folder_of(tmp_path / "run", FASTER.replace("min_size: 3", "min_size: 500"))
    assert detect(run, image()) == []
    assert Detector.load(run).detect(image()).shape == (0, 6)


def test_a_net_without_a_card(tmp_path):
    before = cfg.copied()
    cfg.TEST.SCALES, cfg.TEST.MAX_SIZE = (48,), 80
    try:
        net = net_of(tmp_path, FASTER)
        assert {one.label for one in detect(net, image())} <= {"class 1", "class 2", "class 3"}
        named = detect(net, image(), classes=CLASSES)
        assert {one.label for one in named} <= set(CLASSES)
        assert [one.box for one in named] == [one.box for one in detect(net.model, image())]
    finally:
        cfg.restore(before)


# -- loading -----------------------------------------------------------------------------------------------------


def test_a_prototxt_with_weights_elsewhere(tmp_path):
    run = folder_of(tmp_path / "run")
    (run / "detector.caffemodel").rename(tmp_path / "w.caffemodel")
    with pytest.raises(MissingFileError, match="weights of the detector .*\n  Fix: train it"):
        Detector.load(run)
    found = Detector.load(run / "test.prototxt", tmp_path / "w.caffemodel")
    assert found.card.classes == CLASSES
    (run / "detector.json").unlink()
    bare = Detector.load(run / "test.prototxt", tmp_path / "w.caffemodel")
    assert bare.card.classes == ("class 1", "class 2", "class 3") and bare.card.method == "faster"
    with pytest.raises(MissingFileError, match=r"detector.json"):
        Detector.load(run)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(
        MissingFileError, match="detector '.*runs/nix' does not exist\n  Fix: name a run's folder"
    ):
        Detector.load(tmp_path / "runs" / "nix")


def test_weights_of_another_method_are_told(tmp_path, caplog):
    run, fast = folder_of(tmp_path / "run"), folder_of(tmp_path / "fast", FAST, "fast")
    Detector.load(run)
    assert not caplog.messages
    Detector.load(run, fast / "detector.caffemodel")
    assert "has nothing for rpn_cls_score, rpn_bbox_pred, which keep" in caplog.text


def test_another_number_of_classes(tmp_path):
    run = folder_of(tmp_path / "run", classes=("cat", "dog"))
    with pytest.raises(UsageError, match="tells 3 classes apart, but its card names 2: cat, dog"):
        Detector.load(run)


def test_weights_of_another_net(tmp_path):
    run = folder_of(tmp_path / "run")
    (run / "detector.caffemodel").write_bytes(b"no weights")
    with pytest.raises(DataError):
        Detector.load(run)


def test_rcnn_is_another_kind(tmp_path):
    run = folder_of(tmp_path / "run", method="rcnn")
    with pytest.raises(UsageError, match="a detector of method rcnn has no such settings"):
        Detector.load(run, pairs=["TEST.NMS", "0.4"])


# -- sets --------------------------------------------------------------------------------------------------------


def test_detect_set_and_times(tmp_path):
    detector = Detector.load(folder_of(tmp_path / "run"))
    data = load_set(data_of(tmp_path, "circle", "square"), classes=CLASSES)
    times, told = Times(), []
    found = detect_set(detector, data, times=times, tell=told.append)
    assert set(found) == {"000000", "000001"} and times.pictures == 2 and times.detection > 0
    np.testing.assert_array_equal(found["000000"], detector.detect(data.pictures[0].path))
    assert "2 pictures: detection" in times.text() and not told


def test_proposals_of_a_set_are_shown_to_a_fast_rcnn(tmp_path):
    detector = Detector.load(folder_of(tmp_path / "run", FAST, "fast"))
    data = load_set(data_of(tmp_path, "circle"), classes=CLASSES)
    regions = boxes(5)
    found = detect_set(detector, data, {"000000": (regions, np.ones(5, np.float32))})
    np.testing.assert_array_equal(found["000000"], detector.detect(data.pictures[0].path, regions))
    with pytest.raises(DataError, match="picture '000000' has no proposals\n  Fix: caffelite det propose"):
        detect_set(detector, data, {})
    times = Times()
    detect_set(detector, data, times=times)
    assert times.proposals > 0 and "proposals" in times.text()


def test_assess_writes_into_a_folder_that_is_made_before(tmp_path):
    detector = Detector.load(folder_of(tmp_path / "run"))
    data = load_set(data_of(tmp_path, "circle"), classes=CLASSES)
    output = tmp_path / "new" / "deep" / "eval"
    report = assess(detector, data, output)
    assert (output / FILE).exists() and (output / "report.html").exists()
    assert json.loads((output / "report.json").read_text())
    assert report.dataset is data


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that cannot be written to")
def test_a_folder_that_cannot_be_written_to_is_told_first(tmp_path):
    _told_first(tmp_path, tmp_path / "closed" / "eval", lambda: (tmp_path / "closed").mkdir(mode=0o500))


def test_a_file_in_the_place_of_the_folder_is_told_first(tmp_path):
    _told_first(tmp_path, tmp_path / "eval", lambda: (tmp_path / "eval").write_text("mine"))


def _told_first(tmp_path, output, prepare):
    prepare()

    class Never:
        card = Card("faster", "tiny", CLASSES)

        def detect(self, *_):
            raise AssertionError("detected before the folder was tried")

    with pytest.raises(SnapshotError):
        assess(Never(), dataset(picture("a", []), classes=CLASSES), output)


def test_classes_are_matched_by_name_whatever_their_case_and_order(tmp_path):
    card = Card("faster", "tiny", CLASSES)
    found = load_for(card, data_of(tmp_path, "Triangle", "CIRCLE"), "test")
    assert found.classes == CLASSES
    assert [one.labels.tolist() for one in found.pictures] == [[3], [1]]


def test_no_class_in_common_is_an_error_not_an_ap_of_0(tmp_path):
    with pytest.raises(
        DataError, match=r"none of the detector's classes .* circle, square, triangle; the data has cat, dog"
    ):
        load_for(Card("faster", "tiny", CLASSES), data_of(tmp_path, "cat", "dog"), "test")


def test_a_set_without_any_object_is_no_error(tmp_path):
    voc(tmp_path / "data", key="000001")
    assert len(load_for(Card("faster", "tiny", CLASSES), tmp_path / "data")) == 1


def test_pictures_of_many_sizes_keep_few_plans(tmp_path):
    detector = Detector.load(folder_of(tmp_path / "run", FAST, "fast"))
    rng = np.random.default_rng(0)
    for size in range(30, 50):
        detector.detect(image(size, 40), boxes(int(rng.integers(1, 60)), 30, 30))
    assert len(detector.net.model._plans) <= caffelite.model.MAX_PLANS
