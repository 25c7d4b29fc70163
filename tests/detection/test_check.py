from __future__ import annotations

import json

import numpy as np
import pytest

from caffelite.boxes.anchors import base_anchors, shifted
from caffelite.boxes.boxes import overlaps
from caffelite.cli import main as cli
from caffelite.detection import load_picture
from caffelite.detection.check import check_set
from caffelite.detection.check_report import check_json, check_text
from caffelite.detection.coverage import AnchorSettings, anchor_coverage
from caffelite.detection.sheet import write_sheet
from caffelite.errors import DataError, UsageError

from .files import coco, image, listed, thing, voc
from .sets import dataset, picture

PLAIN = AnchorSettings((1, 2), (1,), short=0)

# -- anchors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("short", [0, 300])
def test_best_overlaps_are_those_of_all_anchors(short):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 90, (40, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1) + 3], axis=1).astype(np.float32)
    one = picture("a", boxes, size=(140, 100))
    settings = AnchorSettings((1, 2, 4), (0.5, 1, 2), short=short, long=350)
    scale = settings.image_scale(100, 140)
    assert scale == (1 if not short else 350 / 140)
    size = int(np.ceil(100 * scale / 16)), int(np.ceil(140 * scale / 16))
    every = shifted(base_anchors(16, (0.5, 1, 2), (1, 2, 4)), 16, *size)
    wanted = overlaps(one.boxes * scale, every).max(axis=1)
    np.testing.assert_allclose(anchor_coverage([one], settings).best, wanted, rtol=1e-5)


def test_sides_as_py_faster_rcnn_resizes():
    settings = AnchorSettings()
    assert settings.image_scale(375, 500) == 1.6
    assert settings.image_scale(300, 900) == pytest.approx(1000 / 900)
    assert AnchorSettings(long=0).image_scale(300, 900) == 2


def test_advice():
    boxes = [[x, y, x + 63, y + 63] for x in (0, 16, 32) for y in (0, 16, 32)]
    found = anchor_coverage([picture("a", boxes, size=(128, 128))], PLAIN)
    assert found.missed == 1 and found.advised == 0 and 4 in found.advice.scales
    line = found.lines()[0]
    assert (
        line.startswith("100 % of the boxes have a best-anchor overlap < 0.5; try --scales ")
        and "(0 %)" in line
    )
    assert "--ratios" not in line
    again = anchor_coverage([picture("a", boxes, size=(128, 128))], found.advice)
    assert again.advice is None and again.lines() == ["0 % of the boxes have a best-anchor overlap < 0.5"]


def test_advice_of_ratios():
    boxes = [[4, y, 123, y + 29] for y in range(20, 80, 5)]
    found = anchor_coverage([picture("a", boxes, size=(128, 128))], PLAIN)
    assert found.advice.ratios != (1,) and "--ratios 0." in found.lines()[0]
    assert found.advised < 0.2


def test_a_finer_stride_and_small_boxes():
    boxes = [[x, x, x + 13, x + 13] for x in range(0, 100, 3)]
    found = anchor_coverage([picture("a", boxes, size=(128, 128))], PLAIN)
    assert found.finer < found.missed and found.small == len(boxes)
    assert any("--stride 8" in line for line in found.lines())
    assert any(f"{len(boxes)} boxes have a side below 16 pixels" in line for line in found.lines())


def test_difficult_boxes_and_sets_without_any():
    assert anchor_coverage([picture("a", [[0, 0, 1, 1]], difficult=[True])], PLAIN).lines() == []
    assert anchor_coverage([], PLAIN).missed == 0


def test_settings_that_are_none():
    for wrong in ({"scales": ()}, {"stride": 0}, {"ratios": (-1,)}, {"short": -5}):
        with pytest.raises(UsageError, match="expected scales, ratios, size and stride of anchors above 0"):
            AnchorSettings(**wrong)


# -- the check -----------------------------------------------------------------------------------------------


def two_splits(folder):
    voc(folder, thing(1, 1, 20, 20), thing(5, 5, 30, 30, name="dog", more="<difficult>1</difficult>"))
    voc(folder, thing(1, 1, 20, 20), key="b")
    voc(folder, key="c")
    listed(folder, "train", "a", "c")
    listed(folder, "test", "b")
    return folder


def test_counts(tmp_path):
    check = check_set(two_splits(tmp_path))
    assert check.exit_code == 0 and not check.findings
    train, test = check.splits["train"], check.splits["test"]
    assert (train.pictures, train.empty, train.objects, train.difficult) == (
        2,
        1,
        {"cat": 1, "dog": 1},
        {"cat": 0, "dog": 1},
    )
    assert test.objects == {"cat": 1, "dog": 0} and test.pictures_with == {"cat": 1, "dog": 0}
    assert check.sizes == {(60, 40): 3} and check.sides[2] == 3 and sum(check.sides) == 3
    text = check_text(check)
    assert "PASCAL VOC, 3 pictures, 2 classes" in text
    assert "pictures: 60 x 40 (3)" in text and "1 (1 difficult)" in text and "nothing wrong" in text
    assert "'test' has no objects of dog" in text
    only = check_set(tmp_path, "test")
    assert list(only.splits) == ["test"] and len(only.dataset) == 1


def test_findings_are_told_once_with_file_and_line(tmp_path):
    folder = two_splits(tmp_path)
    voc(folder, thing(1, 1, 99, 20), thing(None, 1, 2, 3))
    listed(folder, "trainval", "a", "c")
    check = check_set(folder)
    assert check.exit_code == DataError.exit_code and [finding.error for finding in check.findings] == [
        True,
        False,
    ]
    text = check_text(check)
    assert "2 findings:" in text and "a.xml:3: box (1, 1, 99, 20) reaches out" in text
    assert "a.xml:4: expected a number for xmin, got nothing" in text


def test_broken_pictures_are_found_by_decoding(tmp_path):
    folder = two_splits(tmp_path)
    path = folder / "JPEGImages/a.jpg"
    path.write_bytes(path.read_bytes()[:-30])
    (finding,) = check_set(folder).findings
    assert (
        finding.kind == "broken picture"
        and "is cut short" in finding.text
        and finding.place.endswith("a.xml")
    )
    assert not check_set(folder, decode=False).findings


def test_classes_that_are_tested_but_not_learned(tmp_path):
    """Average precision 0 without a reason, in py-faster-rcnn."""
    voc(tmp_path, thing(1, 1, 20, 20, name="Platelets"))
    voc(tmp_path, thing(1, 1, 20, 20, name="platlets"), thing(1, 1, 30, 30, name="PLATELETS"), key="b")
    listed(tmp_path, "train", "a")
    listed(tmp_path, "test", "b")
    texts = [finding.text for finding in check_set(tmp_path).findings]
    assert any("is elsewhere written" in text for text in texts)
    wanted = "class 'platlets' has 1 object in 'test', but none in 'train'; did you mean 'Platelets'?"
    assert wanted in texts


def test_labels_that_differ_between_splits(tmp_path):
    for split, names in (("train", ("cat", "dog")), ("val", ("dog", "cat"))):
        image(tmp_path / split, "a.jpg")
        categories = [{"id": n, "name": name} for n, name in enumerate(names)]
        coco(
            tmp_path / f"annotations/instances_{split}.json",
            [{"id": 1, "file_name": "a.jpg"}],
            [],
            categories,
        )
    (finding,) = check_set(tmp_path).findings
    assert finding.text == "classes of 'val' are dog, cat, those of 'train' are cat, dog"
    assert not check_set(tmp_path, classes=["cat", "dog"]).findings


def test_json(tmp_path):
    found = json.loads(json.dumps(check_json(check_set(two_splits(tmp_path)))))
    assert found["splits"]["train"]["objects"] == {"cat": 1, "dog": 1}
    assert found["sizes"] == [[60, 40, 3]] and found["sides"]["16-32"] == 3
    assert found["findings"] == [] and found["anchors"]["missed"] == 0 or found["anchors"]["advice"]


# -- the sheet -----------------------------------------------------------------------------------------------


def test_sheet(tmp_path):
    paths = [image(tmp_path, f"{n}.png", *size) for n, size in enumerate([(60, 40), (40, 60), (600, 400)])]
    pictures = [picture(path.stem, [[5, 5, 30, 30]], path=path) for path in paths]
    broken = picture("broken", [], path=tmp_path / "none.png")
    whole = dataset(*pictures, broken)
    assert write_sheet(tmp_path / "sheet.png", whole, 10) == 3
    assert load_picture(tmp_path / "sheet.png").shape == (18 + 256 + 4, 3 * 260, 3)
    assert write_sheet(tmp_path / "one.png", whole, 1, first=["1"]) == 1
    assert load_picture(tmp_path / "one.png").shape == (278, 260, 3)
    with pytest.raises(DataError, match="has no pictures to draw"):
        write_sheet(tmp_path / "none.png", dataset(broken))


# -- the command line ----------------------------------------------------------------------------------------


def test_command_line(tmp_path, capsys):
    few = ["--images", "4", "--test", "2", "--size", "64", "--classes", "1"]
    assert cli.main(["det", "shapes", str(tmp_path / "set"), *few]) == 0
    assert "wrote 4 pictures for training and 2 for the test" in capsys.readouterr().out
    line = ["det", "check", str(tmp_path / "set"), "--short", "0", "--scales", "1,2"]
    assert cli.main([*line, "--sheet", str(tmp_path / "sheet.png"), "--pictures", "5"]) == 0
    assert "wrote 5 pictures to" in capsys.readouterr().out
    assert cli.main([*line, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 6
    (tmp_path / "set/Annotations/000001.xml").write_text("<annotation>")
    assert cli.main(line) == 3
    assert "000001.xml:1: no valid XML" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["det", "check", "nowhere"], 3, "data set 'nowhere' does not exist"),
        (["det", "check"], 2, "det check: expected DATA, got nothing"),
        (
            ["det", "check", ".", "--scales", "1,x"],
            2,
            "--scales: expected numbers with commas between, got '1,x'",
        ),
        (["det", "check", ".", "--scales", "0"], 2, "above 0"),
        (["det", "chek"], 2, "unknown verb 'det chek'; did you mean 'check'?"),
        (["det", "check", ".", "--sheet", "no/folder/a.png"], 1, "cannot write 'no/folder/a.png'"),
    ],
)
def test_command_lines_that_are_wrong(capsys, words, code, text):
    assert cli.main(words) == code
    assert text in capsys.readouterr().err


def test_help_lists_the_verbs(capsys):
    for words in (["det"], ["help", "det"], ["det", "--help"]):
        assert cli.main(words) == 0
        out = capsys.readouterr().out
        assert "  check " in out and "  shapes " in out
    assert cli.main(["help", "det", "check"]) == cli.main(["det", "check", "--help"]) == 0
    assert capsys.readouterr().out.count("usage: caffelite det check DATA [FLAGS]") == 2
