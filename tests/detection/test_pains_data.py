"""What users of py-faster-rcnn suffered from with their data, each as they met it. Public names and commands only."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from caffelite.cli.main import main
from caffelite.detection import load_set, write_detections
from caffelite.detection.evaluation import evaluate
from caffelite.detection.roidb import make_roidb

from .files import HEIGHT, WIDTH, annotation, coco, image, listed, thing, voc
from .sets import rows


def call(*words):
    return main(["det", *map(str, words)])


def own_voc(root):
    return voc(root, thing(1, 1, 30, 20), thing(31, 21, 60, 40, name="dog"))


def own_coco(root):
    image(root / "images", "a.jpg")
    boxes = [([0, 0, 30, 20], 7), ([30, 20, 30, 20], 3)]
    entries = [{"id": n, "image_id": 1, "category_id": c, "bbox": b} for n, (b, c) in enumerate(boxes)]
    images = [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}]
    coco(root / "labels.json", images, entries)
    return root


def own_yolo(root):
    image(root / "images", "a.jpg")
    (root / "labels").mkdir()
    (root / "labels" / "a.txt").write_text("0 .25 .25 .5 .5\n1 .75 .75 .5 .5\n")
    (root / "classes.txt").write_text("cat\ndog\n")
    return root


def own_csv(root):
    image(root, "a.jpg")
    lines = ["filename,xmin,ymin,xmax,ymax,label", "a.jpg,0,0,29,19,cat", "a.jpg,30,20,59,39,dog"]
    (root / "boxes.csv").write_text("\n".join(lines))
    return root


@pytest.mark.parametrize("make", [own_voc, own_coco, own_yolo, own_csv])
def test_pain_1_a_data_set_of_my_own_needs_a_python_class_and_a_factory(tmp_path, make, capsys):
    """No code, no list of classes, no number of classes: the same boxes from every layout, and a detector for them."""
    root = make(tmp_path / "mine")
    (picture,) = (dataset := load_set(root)).pictures
    found = {
        dataset.classes[k - 1]: box.tolist() for k, box in zip(picture.labels, picture.boxes, strict=True)
    }
    assert found == {"cat": [0, 0, 29, 19], "dog": [30, 20, 59, 39]}
    assert call("check", root) == 0
    assert call("init", tmp_path / "detector", "--data", root, "--arch", "tiny") == 0
    assert "2 (" in re.search("classes: .*", capsys.readouterr().out.split("init")[-1])[0]
    card = json.loads((tmp_path / "detector" / "detector.json").read_text())
    assert sorted(card["classes"]) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("box", "read"),
    [
        ((0, 0, 30, 20), (0, 0, 29, 19)),
        ((1, 1, WIDTH, HEIGHT), (0, 0, WIDTH - 1, HEIGHT - 1)),
        ((0, 0, WIDTH + 1, HEIGHT + 1), (0, 0, WIDTH - 1, HEIGHT - 1)),
        ((1.4, 1.6, 30.5, 20.5), None),
    ],
)
def test_pain_6_xmin_0_minus_1_is_65535_and_an_assertion_ends_the_run(tmp_path, box, read):
    """Also in the mirror image, where the assertion was."""
    dataset = load_set(voc(tmp_path, thing(*box)))
    plain, mirrored = make_roidb(dataset, flipped=True, num_classes=2)
    for entry in (plain, mirrored):
        x1, y1, x2, y2 = entry["boxes"][0]
        assert 0 <= x1 <= x2 <= WIDTH - 1 and 0 <= y1 <= y2 <= HEIGHT - 1
    if read:
        assert plain["boxes"].tolist() == [list(read)]


def test_pain_7_the_loss_is_nan_because_of_a_box_that_nobody_named(tmp_path, capsys):
    """Swapped, outside, without area: named with file and line before training, and none reaches it."""
    bad = [(30, 20, 10, 5), (70, 5, 80, 9), (-20, 5, -5, 9), (10, 10, 9, 20)]
    root = voc(tmp_path, thing(1, 1, 20, 20), *(thing(*box) for box in bad))
    assert call("check", root) == 3
    said = capsys.readouterr().out
    for line in range(4, 4 + len(bad)):
        assert f"a.xml:{line}" in said
    (entry,) = make_roidb(load_set(root), flipped=False, num_classes=2)
    boxes = entry["boxes"]
    assert np.isfinite(boxes).all() and (boxes[:, 2:] >= boxes[:, :2]).all() and len(boxes) >= 2
    assert (boxes >= 0).all() and (boxes[:, 2] < WIDTH).all() and (boxes[:, 3] < HEIGHT).all()


def test_pain_7_a_coordinate_that_is_no_number(tmp_path, capsys):
    root = voc(tmp_path, thing(1, 1, "nan", 20), thing(1, "x", 5, 20))
    assert call("check", root) == 3
    said = "".join(capsys.readouterr())
    assert "a.xml:3" in said and "a.xml:4" in said


def test_pain_8_stale_caches_train_and_test_on_annotations_that_i_have_corrected(tmp_path):
    """Nothing is kept beside the data, and a correction counts at once, for boxes, classes and lists."""
    root = voc(tmp_path, thing(1, 1, 20, 20))
    listed(root, "test", "a")
    first = load_set(root, "test")
    before = set(root.rglob("*"))
    evaluate(first, {"a": rows([1, 0.9, 0, 0, 19, 19])})
    assert set(root.rglob("*")) == before
    annotation(root / "Annotations", "a", thing(5, 5, 30, 30, name="dog"))
    voc(root, key="b")
    listed(root, "test", "a", "b")
    second = load_set(root, "test")
    assert second.classes == ("dog",) and len(second) == 2
    assert second.pictures[0].boxes.tolist() == [[4, 4, 29, 29]]
    assert evaluate(second, {"a": rows([1, 0.9, 4, 4, 29, 29])}).map == 1


def test_pain_9_the_folder_of_results_is_missing_after_hours_of_testing(tmp_path):
    dataset = load_set(voc(tmp_path / "data", thing(1, 1, 20, 20)))
    folder = tmp_path / "VOCdevkit" / "results" / "VOC2007" / "Main"
    write_detections(folder, {"a": rows([1, 0.9, 0, 0, 19, 19])}, dataset)
    assert (folder / "comp4_det_test_cat.txt").read_text() == "a 0.900 1.0 1.0 20.0 20.0\n"


def test_pain_10_ap_is_0_because_dog_is_not_Dog(tmp_path, capsys):
    """Classes are the same whatever their case."""
    root = voc(tmp_path / "data", thing(1, 1, 20, 20, name="Dog"))
    file = tmp_path / "found.csv"
    file.write_text("key,class,score,x1,y1,x2,y2\na,dog,0.9,0,0,19,19\n")
    assert call("eval", file, "--data", root, "-o", tmp_path / "report") == 0
    assert json.loads((tmp_path / "report" / "report.json").read_text())["map_voc07"] == 1


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (
            "a,dogs,0.9,0,0,19,19",
            "class 'dogs' are left out: the data has no such class; did you mean 'dog'?",
        ),
        ("a,dog,0.9,40,20,59,39", "no detection overlaps an object by more than 0.5; the best by 0.00"),
        ("a,dog,0.9,0,0,.3,.5", "boxes look like shares of the picture"),
        ("a,cat,0.9,0,0,19,19", "dog: nothing was detected of 1 objects"),
    ],
)
def test_pain_10_ap_is_0_and_nobody_says_why(tmp_path, capsys, found, why):
    root = voc(tmp_path / "data", thing(1, 1, 20, 20, name="dog"), thing(30, 20, 50, 40))
    file = tmp_path / "found.csv"
    file.write_text(f"key,class,score,x1,y1,x2,y2\n{found}\n")
    assert call("eval", file, "--data", root) == 0
    assert why in capsys.readouterr().out


def test_pain_10_ap_is_nan_because_all_objects_of_a_class_are_difficult(tmp_path, capsys):
    hard = thing(1, 1, 20, 20, name="dog", more="<difficult>1</difficult>")
    root = voc(tmp_path / "data", hard, thing(30, 20, 50, 40))
    file = tmp_path / "found.csv"
    file.write_text("key,class,score,x1,y1,x2,y2\na,cat,0.9,29,19,49,39\n")
    assert call("eval", file, "--data", root) == 0
    said = capsys.readouterr().out
    assert "dog: no object to find: all 1 are difficult; not part of the means" in said
    assert re.search(r"mean +1 +1 +1 +1\.000 +1\.000", said)


def small_set(root, *boxes):
    """Pictures of changing shape, with a box each, or none."""
    root.mkdir()
    for number, box in enumerate(boxes):
        width, height = ((96, 64), (64, 96))[number % 2]
        image(root / "JPEGImages", f"{number}.jpg", width, height)
        things = [thing(*box)] if box else []
        annotation(root / "Annotations", str(number), *things, size=(width, height))
    listed(root, "train", *map(str, range(len(boxes))))
    return root


def trained(tmp_path, data, *more):
    recipe = tmp_path / "recipe"
    assert call("init", recipe, "--data", data, "--arch", "tiny", "--method", "faster") == 0
    words = ("--data", data, "--split", "train", "-o", tmp_path / "run", "--iterations", 5, "--seed", 1)
    assert call("train", recipe, *words, "--pictures", 0, *more) == 0
    return tmp_path / "run"


def test_pain_11_an_image_without_objects_ends_training_and_testing(tmp_path):
    data = small_set(tmp_path / "data", (10, 10, 40, 40), None, None)
    assert call("check", data) == 0
    run = trained(tmp_path, data)
    assert call("test", run, "--data", data, "--split", "train") == 0
    assert call("eval", run, "--data", data, "--split", "train") == 0


def test_pain_12_small_objects_need_anchors_that_are_written_in_three_places(tmp_path, capsys):
    """The data says which, and the nets get the same ones with the layers' sizes that follow."""
    boxes = [(10 + n, 10, 33 + n, 33) for n in range(6)]
    data = small_set(tmp_path / "data", *boxes)
    assert call("check", data, "--short", 0) == 0
    said = capsys.readouterr().out
    assert re.search(r"\d+ % of the boxes have a best-anchor overlap < 0.5; try --scales", said)
    recipe = tmp_path / "recipe"
    assert call("init", recipe, "--data", data, "--arch", "tiny", "--method", "faster") == 0
    anchors = json.loads((recipe / "detector.json").read_text())["anchors"]
    sides = [anchors["base_size"] * scale for scale in anchors["scales"]]
    count = len(anchors["scales"]) * len(anchors["ratios"])
    card = json.loads((recipe / "detector.json").read_text())
    enlarged = 24 * card["scales"][0] / 64
    assert any(0.5 < side / enlarged < 2 for side in sides), (sides, enlarged)
    for name in ("train.prototxt", "test.prototxt"):
        text = (recipe / name).read_text()
        outputs = {
            layer: int(re.search(rf'name: "{layer}".*?num_output: (\d+)', text, re.S)[1])
            for layer in ("rpn_cls_score", "rpn_bbox_pred")
        }
        assert outputs == {"rpn_cls_score": 2 * count, "rpn_bbox_pred": 4 * count}


@pytest.mark.parametrize("images", [3, 5])
def test_pain_18_an_odd_number_of_images_ends_in_a_reshape_error(tmp_path, images):
    """Two images an iteration, wide and tall ones apart: the last of each is alone."""
    data = small_set(tmp_path / "data", *[(10, 10, 40, 40)] * images)
    run = trained(tmp_path, data, "--set", "TRAIN.IMS_PER_BATCH", 2, "TRAIN.ASPECT_GROUPING", "True")
    assert (run / "detector.caffemodel").exists()
