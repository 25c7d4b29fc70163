from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caffelite.detection.detections import read_detections, write_detections
from caffelite.detection.evaluation import coco, evaluate, voc
from caffelite.detection.evaluation.confusion import confusion, verdicts
from caffelite.detection.formats.coco_writer import write_coco
from caffelite.errors import DataError, UsageError

from .sets import dataset, picture, rows

_HERE = Path(__file__).parent
HALF = [0, 0, 9, 9]  # 100 pixels


def ap(pictures, detections):
    curve = voc.curve(pictures, detections, 1)
    return curve.ap07, curve.ap


# -- PASCAL VOC ----------------------------------------------------------------------------------------------


def slow_verdicts(pictures, detections, label):
    """The protocol word for word: one detection after the other."""
    every = [
        (-r[1], n, p, r[2:])
        for n, p in enumerate(pictures)
        for r in detections.get(p.key, [])
        if r[0] == label
    ]
    every.sort(key=lambda one: one[0])
    taken, tp, fp = set(), [], []
    for _, n, p, box in every:
        best, which = -1.0, None
        for g in np.flatnonzero(p.labels == label):
            x1, y1 = np.maximum(box[:2], p.boxes[g, :2])
            x2, y2 = np.minimum(box[2:], p.boxes[g, 2:])
            common = max(x2 - x1 + 1, 0) * max(y2 - y1 + 1, 0)
            areas = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (box, p.boxes[g])]
            if common / (sum(areas) - common) > best:
                best, which = common / (sum(areas) - common), g
        hit = best > 0.5
        ignored = hit and p.difficult[which]
        right = hit and not ignored and (n, which) not in taken
        if right:
            taken.add((n, which))
        tp.append(float(right))
        fp.append(float(not right and not ignored))
    return np.cumsum(tp), np.cumsum(fp)


@pytest.mark.parametrize("seed", range(5))
def test_voc_equals_the_protocol_word_for_word(seed):
    random = np.random.default_rng(seed)
    pictures, detections = [], {}
    for n in range(12):
        corner, side = random.integers(0, 60, (6, 2)), random.integers(5, 40, (6, 2))
        pictures.append(
            picture(
                str(n), np.hstack([corner, corner + side]), random.integers(1, 3, 6), random.random(6) < 0.2
            )
        )
        boxes = np.repeat(pictures[-1].boxes, 3, axis=0) + random.integers(-6, 7, (18, 4))
        scores = np.round(random.random(18), 1)  # many ties
        detections[str(n)] = np.column_stack([random.integers(1, 3, 18), scores, boxes]).astype(np.float32)
    for label in (1, 2):
        tp, fp = slow_verdicts(pictures, detections, label)
        curve = voc.curve(pictures, detections, label)
        objects = sum(np.sum((p.labels == label) & ~p.difficult) for p in pictures)
        assert curve.objects == objects
        np.testing.assert_array_equal(curve.recall, tp / objects)
        np.testing.assert_allclose(curve.precision, tp / np.maximum(tp + fp, 1e-16), rtol=1e-15)


def test_an_overlap_of_one_half_is_not_enough():
    half = rows([1, 0.9, 0, 0, 9, 4])  # 50 of 100 pixels
    assert voc.curve([picture("a", [HALF])], {"a": half}, 1).ap == 0
    more = rows([1, 0.9, 0, 0, 9, 5])
    assert voc.curve([picture("a", [HALF])], {"a": more}, 1).ap == 1


def test_pixels_are_counted_with_both_ends():
    """Without the 1 this overlap would be 6 * 9 / 81 = .67 of a box of 9 x 9 as well; with it one pixel of one is all."""
    assert voc.curve([picture("a", [[5, 5, 5, 5]])], {"a": rows([1, 1, 5, 5, 5, 5])}, 1).ap == 1


def test_the_second_detection_of_an_object_is_wrong():
    pictures = [picture("a", [HALF, [50, 50, 59, 59]])]
    found = rows([1, 0.9, *HALF], [1, 0.8, *HALF], [1, 0.7, 50, 50, 59, 59])
    curve = voc.curve(pictures, {"a": found}, 1)
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose([curve.ap07, curve.ap], [(6 + 5 * 2 / 3) / 11, 0.5 + 0.5 * 2 / 3])


def test_difficult_objects_count_neither_way():
    pictures = [picture("a", [HALF, [50, 50, 59, 59]], difficult=[True, False])]
    found = rows([1, 0.9, *HALF], [1, 0.8, *HALF], [1, 0.7, 50, 50, 59, 59])
    curve = voc.curve(pictures, {"a": found}, 1)
    assert (curve.objects, curve.difficult, curve.ap07, curve.ap) == (1, 1, 1, 1)


def test_equal_scores_keep_the_order_of_the_pictures():
    pictures = [picture("a", [HALF]), picture("b", [])]
    assert ap(pictures, {"b": rows([1, 0.5, *HALF]), "a": rows([1, 0.5, *HALF])}) == (1, 1)
    assert ap(pictures[::-1], {"a": rows([1, 0.5, *HALF]), "b": rows([1, 0.5, *HALF])}) == (0.5, 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_ap_is_that_of_the_result_files(tmp_path, seed):
    """The originals read scores of three decimals and coordinates of one; scores that differ by less are ties."""
    random = np.random.default_rng(seed)
    pictures, detections = [], {}
    for n in range(40):
        corner = random.integers(0, 50, (4, 2))
        pictures.append(picture(f"{n:06d}", np.hstack([corner, corner + random.integers(8, 40, (4, 2))])))
        boxes = np.repeat(pictures[-1].boxes, 5, axis=0) + random.normal(0, 4, (20, 4))
        detections[f"{n:06d}"] = np.column_stack([np.ones(20), random.random(20) ** 8, boxes]).astype("f")
    toys = dataset(*pictures)
    write_detections(tmp_path / "results", detections, toys)
    in_memory = evaluate(toys, detections).classes[0].curve
    in_files = evaluate(toys, read_detections(tmp_path / "results", toys)).classes[0].curve
    np.testing.assert_array_equal(in_memory.scores, in_files.scores)
    np.testing.assert_array_equal(in_memory.precision, in_files.precision)
    assert in_memory.ap07 == in_files.ap07


def test_scores_that_are_written_alike_are_equal():
    pictures = [picture("a", []), picture("b", [HALF])]
    found = {"a": rows([1, 0.50001, *HALF]), "b": rows([1, 0.50002, *HALF])}
    assert ap(pictures, found)[1] == 0.5


def test_eleven_points_are_those_of_the_original():
    """Its third recall is .30000000000000004, so a recall of exactly .3 does not reach it."""
    recall, precision = np.array([0.1, 0.2, 0.3]), np.ones(3)
    assert voc.eleven_points(recall, precision) == pytest.approx(3 / 11)
    assert voc.area(recall, precision) == pytest.approx(0.3)


# -- COCO ----------------------------------------------------------------------------------------------------


def coco_case(case):
    pictures, detections = [], {}
    for number in range(1, case["pictures"] + 1):
        objects = np.array([o for o in case["objects"] if o[0] == number], float).reshape(-1, 8)
        found = np.array([d for d in case["detections"] if d[0] == number], float).reshape(-1, 7)
        objects[:, 4:6] += objects[:, 2:4] - 1
        found[:, 5:7] += found[:, 3:5] - 1
        crowd = objects[:, 7] > 0
        areas = objects[:, 6].astype(np.float32)
        pictures.append(picture(str(number), objects[:, 2:6], objects[:, 1], crowd, crowd=crowd, areas=areas))
        detections[str(number)] = found[:, 1:].astype(np.float32)
    return dataset(*pictures, classes=("a", "b", "c")), detections


@pytest.mark.parametrize("number", [0, 1])
def test_coco_equals_pycocotools(number):
    """The cases, with crowds, ties, all sizes and over 100 detections of a class, went through pycocotools 2.0.11."""
    case = json.loads((_HERE / "coco_cases.json").read_text())[number]
    summary = coco.summarise(*coco_case(case))
    assert tuple(summary.numbers) == coco.NAMES
    np.testing.assert_allclose(list(summary.numbers.values()), case["numbers"], rtol=0, atol=1e-12)


def test_pycocotools_reads_what_we_write_and_agrees(tmp_path):
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    random, pictures, detections = np.random.default_rng(4), [], {}
    for n in range(30):
        corner, side = random.integers(0, 300, (6, 2)), random.integers(8, 200, (6, 2))
        labels = random.integers(1, 3, 6)
        pictures.append(picture(f"p{n}", np.hstack([corner, corner + side]), labels, size=(600, 600)))
        boxes = np.repeat(pictures[-1].boxes, 4, axis=0) + random.integers(-20, 21, (24, 4)) / 4
        scores = random.permutation(24) / 32 + n / 1024
        detections[f"p{n}"] = np.column_stack([np.repeat(labels, 4), scores, boxes]).astype(np.float32)
    toys = dataset(*pictures, classes=("cat", "dog"), category_ids=(3, 17))
    truth = COCO(str(write_coco(tmp_path / "truth.json", toys)))
    write_detections(tmp_path / "found.json", detections, toys)
    theirs = COCOeval(truth, truth.loadRes(str(tmp_path / "found.json")), "bbox")
    for step in (theirs.evaluate, theirs.accumulate, theirs.summarize):
        step()
    ours = coco.summarise(toys, read_detections(tmp_path / "found.json", toys))
    np.testing.assert_allclose(list(ours.numbers.values()), theirs.stats, rtol=0, atol=1e-12)


def test_coco_without_objects_or_detections():
    nothing = coco.summarise(dataset(picture("a", [])), {})
    assert set(nothing.numbers.values()) == {-1.0}
    missed = coco.summarise(dataset(picture("a", [HALF])), {})
    assert missed.numbers["AP"] == missed.numbers["AR_100"] == 0 and missed.numbers["AP_large"] == -1


def test_coco_leaves_difficult_objects_out():
    pictures = dataset(picture("a", [HALF, [50, 50, 59, 59]], difficult=[True, False]))
    found = {"a": rows([1, 0.9, *HALF], [1, 0.8, 50, 50, 59, 59])}
    assert coco.summarise(pictures, found).numbers["AP"] == pytest.approx(1)


# -- mistakes ------------------------------------------------------------------------------------------------


def test_confusion_with_background():
    one = picture(
        "a", [HALF, [20, 20, 29, 29], [50, 50, 59, 59], [70, 70, 79, 79]], [1, 1, 2, 2], [0, 0, 0, 1]
    )
    found = rows(
        [2, 0.95, *HALF],  # a cat taken for a dog
        [1, 0.4, 20, 20, 29, 29],  # below the score: missed
        [2, 0.9, 50, 50, 59, 59],
        [1, 0.8, 51, 50, 60, 59],  # the dog is taken: invented
        [2, 0.9, 70, 70, 79, 79],  # difficult
        [1, 0.9, 0, 80, 9, 89],  # invented
    )
    judged = list(verdicts(dataset(one, classes=("cat", "dog")), {"a": found}, 0.5))
    np.testing.assert_array_equal(confusion(judged, 2), [[0, 2, 0], [1, 0, 1], [0, 0, 1]])
    assert judged[0].mistakes == 4


def test_a_class_of_its_own_goes_first():
    one = picture("a", [HALF, [0, 0, 9, 8]], [1, 2])
    found = rows([2, 0.9, *HALF], [1, 0.8, 0, 0, 9, 8])
    judged = list(verdicts(dataset(one, classes=("cat", "dog")), {"a": found}, 0.5))
    np.testing.assert_array_equal(confusion(judged, 2), np.diag([0, 1, 1]))


# -- the report ----------------------------------------------------------------------------------------------


def report_of_three():
    toys = dataset(
        picture("a", [HALF, [50, 50, 59, 59]], [1, 3]),
        picture("b", [HALF], [2], [True]),
        classes=("cat", "dog", "cow", "owl"),
    )
    return evaluate(toys, {"a": rows([1, 0.9, *HALF], [3, 0.9, 0, 50, 9, 59])})


def test_the_report_says_why_an_ap_is_nought():
    report = report_of_three()
    notes = {one.name: one.note for one in report.classes}
    assert notes["cat"] == ""
    assert notes["dog"] == "no object to find: all 1 are difficult; not part of the means"
    assert notes["cow"] == "no detection overlaps an object by more than 0.5; the best by 0.00"
    assert notes["owl"] == "no object to find: the data has none; not part of the means"
    assert (report.map07, report.map) == (0.5, 0.5)
    assert report.notes == ("1 of 2 pictures have no detections",)


def test_the_text_has_all_three_kinds_of_ap():
    text = report_of_three().text()
    assert "AP (VOC07)  AP (area)  AP (COCO)" in text
    line = next(line for line in text.splitlines() if line.startswith("dog")).split()
    assert line == ["dog", "0", "1", "0", "-", "-", "-", "-"]


def test_a_set_without_any_match_is_explained():
    toys = dataset(picture("a", [HALF]))
    assert any(
        "every AP is 0" in note for note in evaluate(toys, {"a": rows([1, 0.9, 50, 50, 60, 60])}).notes
    )
    shares = evaluate(toys, {"a": rows([1, 0.9, 0, 0, 0.1, 0.1])})
    assert any("shares of the picture" in note for note in shares.notes)
    assert evaluate(toys, {}).classes[0].note == "nothing was detected of 1 objects"


@pytest.mark.parametrize(
    ("detections", "message"),
    [
        (
            {"b": rows([1, 0.9, *HALF])},
            r"none of the detections is of a picture of set 'toys': got 'b', expected keys like 'a'",
        ),
        ({"a": rows([2, 0.9, *HALF])}, r"expected labels from 1 to 1 .*got 2"),
        ({"a": rows([0, 0.9, *HALF])}, r"background, 0, is never detected"),
        ({"a": rows([1, np.nan, *HALF])}, r"row 0 is not finite"),
        ({"a": np.zeros((2, 5))}, r"expected rows label, score, x1, y1, x2, y2 \(K, 6\), got shape \(2, 5\)"),
    ],
)
def test_what_cannot_be_detections(detections, message):
    with pytest.raises(DataError, match=message):
        evaluate(dataset(picture("a", [HALF])), detections)


def test_a_set_without_classes():
    with pytest.raises(UsageError, match="has no classes"):
        evaluate(dataset(picture("a", []), classes=()), {})


def test_written(tmp_path):
    import cv2

    image = tmp_path / "a b.png"
    cv2.imwrite(str(image), np.full((100, 100, 3), 200, np.uint8))
    toys = dataset(picture("a b", [HALF, [50, 50, 59, 59]], path=image), picture("c", [], path=image))
    report = evaluate(toys, {"a b": rows([1, 0.9, *HALF], [1, 0.6, 0, 50, 9, 59])})
    page = report.write(tmp_path / "new" / "folder")
    there = {str(file.relative_to(page.parent)) for file in page.parent.rglob("*.*")}
    assert there == {
        "report.html",
        "report.json",
        "report.csv",
        "curves.png",
        "confusion.png",
        "worst/001_a b.jpg",
    }
    numbers = json.loads((page.parent / "report.json").read_text())
    assert numbers["classes"][0]["ap_area"] == 0.5 and numbers["coco"]["AP_large"] is None
    assert numbers["worst"] == [{"key": "a b", "mistakes": 2, "missed": 1, "invented": 1, "confused": 0}]
    html = page.read_text()
    assert html.count("data:image/") == 3 and "http" not in html


def test_without_matplotlib_the_report_says_so(tmp_path, monkeypatch, caplog):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    page = evaluate(dataset(picture("a", [])), {}).write(tmp_path)
    assert "No charts: they need matplotlib" in page.read_text() and "No charts" in caplog.text
