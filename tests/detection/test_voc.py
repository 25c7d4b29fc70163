from __future__ import annotations

import numpy as np
import pytest

from caffelite.detection import load_set
from caffelite.detection.formats.detect import splits_of
from caffelite.detection.formats.voc_writer import write_voc
from caffelite.errors import DataError

from .files import annotation, image, kinds, listed, thing, turned, voc


def keys(dataset):
    return [picture.key for picture in dataset.pictures]


# -- layouts -------------------------------------------------------------------------------------------------


def test_splits_of_imagesets(tmp_path):
    for key in ("a", "b", "c"):
        voc(tmp_path, thing(1, 1, 9, 9, name="cat" if key == "a" else "dog"), key=key)
    listed(tmp_path, "train", "c", "a")
    listed(tmp_path, "test", "b")
    (tmp_path / "ImageSets/Main/dog_train.txt").write_text("c 1\na -1\n")  # VOC has one of each class
    assert splits_of(tmp_path) == ["test", "train"]
    train, test = load_set(tmp_path, "train"), load_set(tmp_path, "test")
    assert keys(train) == ["c", "a"] and keys(test) == ["b"]
    assert train.classes == test.classes == ("cat", "dog")  # labels agree though the test has no cat
    assert test.pictures[0].labels.tolist() == [2]
    assert train.name == f"{tmp_path.name}_train"
    assert keys(load_set(tmp_path)) == ["a", "b", "c"]
    assert keys(load_set(tmp_path, "train+test")) == ["c", "a", "b"]
    assert keys(load_set(tmp_path, "trainval")) == ["c", "a"]  # there is no val


def test_a_split_that_there_is_not(tmp_path):
    voc(tmp_path, thing(1, 1, 9, 9))
    with pytest.raises(DataError, match=r"has no splits, got 'train'\n  Fix: leave the split out"):
        load_set(tmp_path, "train")
    listed(tmp_path, "trainval", "a")
    with pytest.raises(
        DataError, match=r"no split 'trainvl'; did you mean 'trainval'\?\n  Fix: one of trainval"
    ):
        load_set(tmp_path, "trainvl")


@pytest.mark.parametrize(
    ("annotations", "images"),
    [
        ("annotations", "images"),
        ("xmls", "imgs"),
        ("Annotations", "Images"),
        ("labels", "img"),
        ("annotations/xmls", "images"),
    ],
)
def test_other_folders(tmp_path, annotations, images):
    annotation(tmp_path / annotations, "a", thing(1, 1, 9, 9))
    image(tmp_path / images, "a.png")
    image(tmp_path / "SegmentationClass", "a.png")  # a mask
    (picture,) = load_set(tmp_path).pictures
    assert picture.path == tmp_path / images / "a.png"


def test_one_folder(tmp_path):
    annotation(tmp_path, "a", thing(1, 1, 9, 9))
    image(tmp_path, "a.JPG")
    assert keys(load_set(tmp_path)) == ["a"]


def test_splits_by_folders(tmp_path):
    for split in ("train", "valid"):
        annotation(tmp_path / split, "a", thing(1, 1, 9, 9))
        image(tmp_path / split, "a.jpg")
    assert splits_of(tmp_path) == ["train", "val"]
    (picture,) = load_set(tmp_path, "val").pictures
    assert picture.key == "valid/a" and picture.path.parent.name == "valid"
    assert keys(load_set(tmp_path)) == ["train/a", "valid/a"]


def test_a_devkit_leads_to_its_year(tmp_path):
    voc(tmp_path / "VOC2007", thing(1, 1, 9, 9))
    assert load_set(tmp_path).name == "VOC2007"
    voc(tmp_path / "VOC2012", thing(1, 1, 9, 9))
    with pytest.raises(DataError, match=r"holds several sets\n  Fix: give one, such as '.*VOC2007'"):
        load_set(tmp_path)


def test_the_image_goes_by_the_annotations_name_then_by_the_one_inside(tmp_path):
    voc(tmp_path, thing(1, 1, 9, 9))
    annotation(tmp_path / "Annotations", "b", thing(1, 1, 9, 9)).rename(tmp_path / "Annotations/1.xml")
    image(tmp_path / "JPEGImages", "b.jpg")
    names = {picture.key: picture.path.name for picture in load_set(tmp_path).pictures}
    assert names == {"a": "a.jpg", "1": "b.jpg"}


def test_lists_with_endings_and_marks(tmp_path):
    voc(tmp_path, thing(1, 1, 9, 9))
    listed(tmp_path, "train")
    (tmp_path / "ImageSets/Main/train.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\n\r\n")
    assert keys(load_set(tmp_path, "train")) == ["a"]


def test_pictures_without_annotations(tmp_path):
    voc(tmp_path, thing(1, 1, 9, 9))
    image(tmp_path / "JPEGImages", "b.jpg")
    listed(tmp_path, "test", "a", "b", "c")
    dataset = load_set(tmp_path, "test")
    assert keys(dataset) == ["a", "b"] and kinds(dataset) == ["no annotation", "no picture"]
    assert len(dataset.pictures[1].boxes) == 0
    assert dataset.findings[1].place.endswith("test.txt:3")
    everything = load_set(tmp_path)
    assert keys(everything) == ["a"] and kinds(everything) == ["no annotation"]


# -- XML -----------------------------------------------------------------------------------------------------


def test_parts_of_an_object_are_no_objects(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>"
    (picture,) = load_set(voc(tmp_path, thing(1, 1, 9, 9, more=part))).pictures
    np.testing.assert_array_equal(picture.boxes, [[0, 0, 8, 8]])


def test_encodings(tmp_path):
    voc(tmp_path)
    file = tmp_path / "Annotations/a.xml"
    text = f"<annotation>{thing(1, 1, 9, 9, name='Käfer')}</annotation>"
    for data in (
        b"\xef\xbb\xbf" + text.encode(),
        b'<?xml version="1.0" encoding="ISO-8859-1"?>' + text.encode("latin1"),
        text.encode("utf-16"),
        b"\n\n" + text.encode(),
    ):
        file.write_bytes(data)
        assert load_set(tmp_path).classes == ("Käfer",)
    file.write_bytes(text.encode("latin1"))
    with pytest.raises(DataError, match=r"a\.xml:1: no valid XML: .*\n  Fix: mend it, or save it as UTF-8"):
        load_set(tmp_path)


BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>
<annotation><object><name>&b;</name></object></annotation>"""


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (BOMB, 2, "a DOCTYPE is not allowed in annotations"),
        ("<annotation>" * 100, 1, "elements are nested too deeply"),
        ("<annotation><object></annotation>", 1, "no valid XML: mismatched tag"),
        ("<html><annotation/></html>", 1, "expected <annotation>, got <html>"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', 1, "no valid XML: unknown encoding"),
    ],
)
def test_xml_that_is_refused(tmp_path, text, place, message):
    voc(tmp_path)
    (tmp_path / "Annotations/b.xml").write_text(text)
    with pytest.raises(DataError, match=rf"b\.xml:{place}: {message}"):
        load_set(tmp_path)


def test_an_empty_file_is_refused(tmp_path):
    voc(tmp_path)
    (tmp_path / "Annotations/b.xml").write_text(" ")
    with pytest.raises(DataError, match=r"b\.xml: the file is empty"):
        load_set(tmp_path)


# -- writing -------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again(tmp_path):
    things = [
        thing(1, 2.5, 30, 20, name="a &amp; &lt;b>"),
        thing(5, 5, 9.25, 9, name="dog", more="<difficult>1</difficult>"),
    ]
    first = load_set(voc(tmp_path / "one", *things))
    voc(tmp_path / "one", key="empty")
    write_voc(tmp_path / "two", load_set(tmp_path / "one"), "train")
    second = load_set(tmp_path / "two", "train")
    assert second.classes == first.classes and keys(second) == ["a", "empty"] and not second.findings
    mine, other = first.pictures[0], second.pictures[0]
    np.testing.assert_array_equal(mine.boxes, other.boxes)
    np.testing.assert_array_equal(mine.labels, other.labels)
    np.testing.assert_array_equal(mine.difficult, other.difficult)
    assert mine.path.read_bytes() == other.path.read_bytes()


def test_a_turned_picture_is_written_as_it_is_seen(tmp_path):
    folder = voc(tmp_path / "one", thing(11, 6, 31, 9))
    turned(folder / "JPEGImages/a.jpg", 8)
    first = load_set(folder)
    write_voc(tmp_path / "two", first)
    second = load_set(tmp_path / "two", "trainval")
    np.testing.assert_array_equal(first.pictures[0].boxes, second.pictures[0].boxes)
    assert kinds(first) == ["turned"] and not second.findings


# -- real sets -----------------------------------------------------------------------------------------------


def test_real_sets(shared):
    data = shared / "data"
    if not (data / "bccd").is_dir():
        pytest.skip("no detection data there")
    bccd = load_set(data / "bccd", "trainval")
    assert (len(bccd), bccd.classes) == (292, ("Platelets", "RBC", "WBC"))
    assert kinds(bccd) == ["thin", "thin"]
    raccoon = load_set(data / "raccoon")
    assert (len(raccoon), raccoon.classes) == (200, ("raccoon",)) and not raccoon.findings
    assert sum(len(picture.boxes) for picture in raccoon.pictures) == 217
    voc2007 = load_set(data / "voc2007_400", "trainval")
    assert len(voc2007) == 200 and len(voc2007.classes) == 20 and voc2007.classes[0] == "aeroplane"
    assert sum(int(picture.difficult.sum()) for picture in voc2007.pictures) == 86
