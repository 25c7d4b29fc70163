from __future__ import annotations

import numpy as np
import pytest

from caffelite.detection import load_set
from caffelite.detection.formats.data_yaml import read_yaml
from caffelite.detection.formats.detect import splits_of
from caffelite.errors import DataError

from .files import image, kinds


def yolo(folder, *lines, names="cat\ndog\n", key="a", split=""):
    """Images and labels in folders of their own; 60 x 40."""
    image(folder / "images" / split, f"{key}.jpg")
    (folder / "labels" / split).mkdir(parents=True, exist_ok=True)
    (folder / "labels" / split / f"{key}.txt").write_text("\n".join(lines))
    if names:
        (folder / "classes.txt").write_text(names)
    return folder


def test_centres_and_sides_are_shares(tmp_path):
    dataset = load_set(yolo(tmp_path, "1 0.5 0.5 0.5 0.25", "0 0.25 0.25 0.5 0.5"))
    (picture,) = dataset.pictures
    np.testing.assert_allclose(picture.boxes, [[15, 15, 44, 24], [0, 0, 29, 19]])
    assert picture.labels.tolist() == [2, 1] and dataset.classes == ("cat", "dog")
    assert picture.key == "a" and not dataset.findings


def test_the_whole_picture_and_rounding(tmp_path):
    dataset = load_set(yolo(tmp_path, "0 0.5 0.5 1 1", "1 0.500001 0.5 1.000002 1.0"))
    np.testing.assert_allclose(dataset.pictures[0].boxes, [[0, 0, 59, 39]] * 2, atol=1e-3)
    assert not dataset.findings


def test_polygons_become_boxes(tmp_path):
    dataset = load_set(yolo(tmp_path, "0 0.1 0.2 0.5 0.1 0.4 0.6"))
    np.testing.assert_allclose(dataset.pictures[0].boxes, [[6, 4, 29, 23]], atol=1e-5)


def test_beside_the_images(tmp_path):
    image(tmp_path, "a.jpg")
    image(tmp_path, "b.jpg")  # has no file: there is nothing in it
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    (tmp_path / "obj.names").write_text("cat\ndog\n")
    dataset = load_set(tmp_path)
    assert [len(picture.boxes) for picture in dataset.pictures] == [1, 0] and not dataset.findings


@pytest.mark.parametrize(
    "text",
    [
        "names: [cat, 'big dog']  # two\nnc: 2\n",
        "names:\n- cat\n- big dog\n",
        "names:\n  1: big dog\n  0: cat\n",
    ],
)
def test_data_yaml(tmp_path, text):
    yolo(tmp_path, "1 0.5 0.5 0.2 0.2", names="", split="train")
    yolo(tmp_path, "0 0.5 0.5 0.2 0.2", names="", split="valid", key="b")
    (tmp_path / "data.yaml").write_text(f"path: .\ntrain: images/train\nval: ../images/valid\n{text}")
    for path in (tmp_path, tmp_path / "data.yaml"):
        assert splits_of(path) == ["train", "val"]
        train, val = load_set(path, "train"), load_set(path, "val")
        assert train.classes == ("cat", "big dog")
        assert [picture.key for picture in train.pictures] == ["train/a"]
        assert train.pictures[0].labels.tolist() == [2]
        assert [picture.key for picture in val.pictures] == ["valid/b"]
    assert len(load_set(tmp_path)) == 2


def test_classes_may_be_called_no(tmp_path):
    (tmp_path / "data.yaml").write_text("names: [yes, no, 1]\n")
    assert read_yaml(tmp_path / "data.yaml")["names"] == ["yes", "no", "1"]


@pytest.mark.parametrize(
    "text", ["names: [a", "names", "- a\n- b", "names: !!python/object/apply:os.getcwd []\nb: ]"]
)
def test_yaml_that_is_none(tmp_path, text):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=r"data\.yaml.*\n  Fix: write names"):
        read_yaml(tmp_path / "data.yaml")


def test_splits_by_folders_and_lists(tmp_path):
    yolo(tmp_path, "0 0.5 0.5 0.2 0.2", split="train")
    yolo(tmp_path, "0 0.5 0.5 0.2 0.2", split="test", key="b")
    assert splits_of(tmp_path) == ["train", "test"]
    assert [picture.key for picture in load_set(tmp_path, "test").pictures] == ["test/b"]
    (tmp_path / "val.txt").write_text("./images/train/a.jpg\n")
    assert [picture.key for picture in load_set(tmp_path, "val").pictures] == ["train/a"]
    with pytest.raises(DataError, match="has no split 'holdout'"):
        load_set(tmp_path, "holdout")


def test_no_names(tmp_path):
    dataset = load_set(yolo(tmp_path, "2 0.5 0.5 0.2 0.2", names=""))
    assert dataset.classes == ("1", "2", "3") and dataset.pictures[0].labels.tolist() == [3]
    assert kinds(dataset) == ["no names"]
    assert load_set(tmp_path, classes=["a", "b", "c"]).classes == ("a", "b", "c")
    with pytest.raises(DataError, match="classes up to 3, expected as many names, got 1"):
        load_set(tmp_path, classes=["a"])


@pytest.mark.parametrize(
    "line",
    [
        "0 0.5 0.5 0.2",
        "cat 0.5 0.5 0.2 0.2",
        "-1 0.5 0.5 0.2 0.2",
        "0.5 0.5 0.5 0.2 0.2",
        "0 0.5 0.5 0.2 0.2 0.9",
    ],
)
def test_lines_that_are_refused(tmp_path, line):
    with pytest.raises(DataError, match=r"a\.txt:2: expected 'class x y w h', got '"):
        load_set(yolo(tmp_path, "0 0.5 0.5 0.2 0.2", line))


def test_pixels_instead_of_shares(tmp_path):
    with pytest.raises(
        DataError, match=r"a\.txt:1: expected shares .* got 30\n  Fix: divide x and w by the width"
    ):
        load_set(yolo(tmp_path, "0 30 20 10 10"))


def test_what_is_read_with_a_warning(tmp_path):
    yolo(tmp_path, "5 0.5 0.5 0.2 0.2", "0 0.95 0.5 0.3 0.2", "0 0.5 0.5 0 0.2")
    (tmp_path / "labels/gone.txt").write_text("0 0.5 0.5 0.2 0.2")
    dataset = load_set(tmp_path)
    assert kinds(dataset) == ["unknown class", "no picture", "outside", "nothing"]
    assert len(dataset.pictures[0].boxes) == 1


def test_negative_shares_reach_out(tmp_path):
    dataset = load_set(yolo(tmp_path, "0 0.05 0.5 0.3 0.2"))
    assert kinds(dataset) == ["outside"] and dataset.pictures[0].boxes[0, 0] == 0


def test_text_files_of_a_split_without_a_picture(tmp_path):
    for split, key in (("train", "a"), ("val", "b")):
        yolo(tmp_path, "0 0.5 0.5 0.2 0.2", key=key, split=split)
    (tmp_path / "labels" / "val" / "gone.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    assert not load_set(tmp_path, "train").findings
    for split in ("val", ""):
        assert kinds(load_set(tmp_path, split)) == ["no picture"]


def test_splits_that_share_a_folder_of_text_files(tmp_path):
    for key in "ab":
        yolo(tmp_path, "0 0.5 0.5 0.2 0.2", key=key)
    (tmp_path / "train.txt").write_text("images/a.jpg\n")
    assert not load_set(tmp_path, "train").findings
    (tmp_path / "labels" / "gone.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    assert kinds(load_set(tmp_path, "train")) == ["no picture"]
