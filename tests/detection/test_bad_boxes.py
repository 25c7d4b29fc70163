"""What people's annotations have wrong: read sensibly with a note of file and line, or refused with a cure."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from caffelite.detection import load_set
from caffelite.detection.formats.detect import read_set
from caffelite.errors import DataError, MissingFileError

from .files import annotation, image, kinds, listed, thing, turned, voc


def only(folder, **options):
    """The one picture of a set, and the findings."""
    dataset = load_set(folder, **options)
    (picture,) = dataset.pictures
    return picture, list(dataset.findings)


def test_files_count_from_1_and_memory_from_0(tmp_path):
    picture, findings = only(voc(tmp_path, thing(1, 2, 60, 40)))
    np.testing.assert_array_equal(picture.boxes, [[0, 1, 59, 39]])
    assert picture.boxes.dtype == np.float32 and picture.labels.tolist() == [1]
    assert (picture.width, picture.height, picture.key) == (60, 40, "a")
    assert not findings


def test_xmin_0(tmp_path):
    """0 - 1 became 65535 in unsigned numbers and ended py-faster-rcnn with an assertion."""
    picture, (finding,) = only(voc(tmp_path, thing(0, 0, 30, 20)))
    np.testing.assert_array_equal(picture.boxes, [[0, 0, 29, 19]])
    assert finding.kind == "zero" and finding.place.endswith("a.xml:3")
    assert finding.text == "box (0, 0, 30, 20) begins at 0 in a format that counts from 1; read as 1"


def test_a_box_that_reaches_out_is_cut(tmp_path):
    picture, (finding,) = only(voc(tmp_path, thing(10, 10, 70, 50)))
    np.testing.assert_array_equal(picture.boxes, [[9, 9, 59, 39]])
    assert finding.kind == "outside"
    assert "box (10, 10, 70, 50) reaches out of the picture, 60 x 40; cut to fit" in finding.text


@pytest.mark.parametrize("box", [(70, 5, 80, 9), (5, 50, 9, 60), (-20, 5, -5, 9)])
def test_a_box_outside_is_left_out(tmp_path, box):
    picture, (finding,) = only(voc(tmp_path, thing(*box)))
    assert picture.boxes.shape == (0, 4) and finding.kind == "nothing"


def test_swapped_corners(tmp_path):
    picture, (finding,) = only(voc(tmp_path, thing(30, 20, 10, 5)))
    np.testing.assert_array_equal(picture.boxes, [[9, 4, 29, 19]])
    assert finding.kind == "swapped" and "read as (10, 5, 30, 20)" in finding.text


def test_one_pixel_is_kept_and_told(tmp_path):
    picture, (finding,) = only(voc(tmp_path, thing(10, 10, 10, 20)))
    np.testing.assert_array_equal(picture.boxes, [[9, 9, 9, 19]])
    assert finding.kind == "thin"


def test_fractions(tmp_path):
    picture, findings = only(voc(tmp_path, thing(10.5, 0.7, 20.25, 40.4)))
    np.testing.assert_allclose(picture.boxes, [[9.5, 0, 19.25, 39]])
    assert not findings


def test_missing_and_odd_difficult(tmp_path):
    things = [
        thing(1, 1, 5, 5),
        thing(2, 2, 6, 6, more="<difficult>1</difficult>"),
        thing(3, 3, 7, 7, more="<difficult> </difficult>"),
        thing(4, 4, 8, 8, more="<difficult>True</difficult>"),
    ]
    picture, findings = only(voc(tmp_path, *things))
    assert picture.difficult.tolist() == [False, True, False, True] and not findings


def test_upper_and_lower_case_of_classes(tmp_path):
    folder = voc(
        tmp_path, thing(1, 1, 5, 5, name="Dog"), thing(2, 2, 9, 9, name="dog "), thing(3, 3, 9, 9, name="Dog")
    )
    dataset = load_set(folder)
    assert dataset.classes == ("Dog",)
    assert dataset.pictures[0].labels.tolist() == [1, 1, 1]
    (finding,) = dataset.findings
    assert finding.kind == "spelling" and "'dog' is elsewhere written 'Dog'" in finding.text
    asked = load_set(folder, classes=["cat", "DOG"])
    assert asked.classes == ("cat", "DOG") and asked.pictures[0].labels.tolist() == [2, 2, 2]


def test_unknown_classes_are_left_out_with_a_guess(tmp_path):
    folder = voc(tmp_path, thing(1, 1, 5, 5, name="platlets"), thing(2, 2, 9, 9, name="wbc"))
    picture, (finding,) = only(folder, classes=["Platelets", "WBC"])
    assert picture.labels.tolist() == [2]
    assert "class 'platlets' is none of the 2 classes asked for; did you mean 'Platelets'?" in finding.text


def test_objects_without_boxes_and_names(tmp_path):
    bare = "<object><name>cat</name><robndbox/></object>"
    picture, (finding,) = only(voc(tmp_path, bare, thing(1, 1, 5, 5)))
    assert len(picture.boxes) == 1
    assert finding.kind == "no box" and finding.place.endswith("a.xml:3")
    voc(tmp_path, "<object/>")
    with pytest.raises(DataError, match=r"a\.xml:3: an object without a name\n  Fix: write <name>"):
        load_set(tmp_path)


def test_a_picture_without_objects(tmp_path):
    picture, findings = only(voc(tmp_path))
    assert picture.boxes.shape == (0, 4) and picture.boxes.dtype == np.float32
    assert picture.labels.shape == (0,) and picture.labels.dtype == np.int64
    assert picture.difficult.dtype == bool and not findings


def test_doubles(tmp_path):
    things = [thing(1, 1, 5, 5), thing(1, 1, 5, 5), thing(1, 1, 5, 5, name="dog")]
    picture, (finding,) = only(voc(tmp_path, *things))
    assert len(picture.boxes) == 2
    assert finding.kind == "object twice" and finding.place.endswith("a.xml:4")
    voc(tmp_path)
    listed(tmp_path, "train", "a", "a")
    assert kinds(load_set(tmp_path, "train")) == ["picture twice"]


@pytest.mark.parametrize(
    ("box", "text"),
    [
        ((None, 1, 5, 5), "expected a number for xmin, got nothing"),
        ((1, "x", 5, 5), "expected a number for ymin, got 'x'"),
        ((1, 1, "nan", 5), r"expected numbers for a box, got \(1, 1, nan, 5\)"),
        ((1, 1, "inf", 5), r"expected numbers for a box, got \(1, 1, inf, 5\)"),
    ],
)
def test_what_is_no_box_is_refused_with_its_line(tmp_path, box, text):
    with pytest.raises(DataError, match=rf"a\.xml:3: {text}\n  Fix: write the box anew"):
        load_set(voc(tmp_path, thing(*box)))


def test_all_errors_are_told_at_once(tmp_path):
    voc(tmp_path, thing(None, 1, 5, 5), thing(1, 1, 5, "y"))
    (tmp_path / "Annotations/b.xml").write_text("<annotation>\n<object>\n</annotation>")
    with pytest.raises(DataError) as caught:
        load_set(tmp_path)
    text = str(caught.value)
    assert "a.xml:3:" in text and "a.xml:4:" in text and "b.xml:3: no valid XML: mismatched tag" in text


def test_many_errors_are_counted(tmp_path):
    voc(tmp_path, *[thing(None, 1, 5, 5)] * 25)
    with pytest.raises(DataError, match="and 5 more; 'caffelite det check .*' lists all"):
        load_set(tmp_path)


# -- pictures ------------------------------------------------------------------------------------------------


def test_a_size_that_is_not_the_pictures(tmp_path):
    picture, (finding,) = only(voc(tmp_path, thing(1, 1, 5, 5), size=(120, 80)))
    assert (picture.width, picture.height) == (60, 40)
    assert finding.kind == "size"
    assert "the file says that the picture is 120 x 80, but it is 60 x 40" in finding.text


@pytest.mark.parametrize("size", [(0, 0), None, (60, 40)])
def test_a_size_that_is_not_told_or_right(tmp_path, size):
    assert not only(voc(tmp_path, thing(1, 1, 5, 5), size=size))[1]


def test_boxes_of_a_turned_picture(tmp_path):
    """Drawn on the pixels as stored, by a tool that knew of no EXIF; the picture is seen turned."""
    folder = voc(tmp_path, thing(11, 6, 31, 9))
    turned(folder / "JPEGImages/a.jpg", 6)  # to the right by a quarter
    picture, (finding,) = only(folder)
    assert (picture.width, picture.height) == (40, 60)
    np.testing.assert_array_equal(picture.boxes, [[31, 10, 34, 30]])
    assert finding.kind == "turned" and "EXIF orientation 6" in finding.text


def test_boxes_of_a_turned_picture_as_seen(tmp_path):
    folder = voc(tmp_path, thing(11, 6, 31, 9), size=(40, 60))
    turned(folder / "JPEGImages/a.jpg", 6)
    picture, findings = only(folder)
    np.testing.assert_array_equal(picture.boxes, [[10, 5, 30, 8]])
    assert not findings


def test_pictures_that_are_not_there(tmp_path):
    voc(tmp_path, thing(1, 1, 5, 5))
    annotation(tmp_path / "Annotations", "gone", thing(1, 1, 5, 5))
    dataset = load_set(tmp_path)
    assert [picture.key for picture in dataset.pictures] == ["a"]
    (finding,) = dataset.findings
    assert finding.kind == "no picture" and finding.place.endswith("gone.xml")
    (tmp_path / "JPEGImages/a.jpg").unlink()
    with pytest.raises(MissingFileError, match="none of the pictures is there: picture 'a.jpg'"):
        load_set(tmp_path)


def test_a_broken_picture_is_refused_by_name(tmp_path):
    folder = voc(tmp_path, thing(1, 1, 5, 5))
    (folder / "JPEGImages/a.jpg").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"a\.xml: picture '.*a\.jpg' cannot be decoded\n  Fix: "):
        load_set(folder)


def test_changed_files_are_read_anew(tmp_path):
    """There is no cache that could be stale."""
    assert len(only(voc(tmp_path, thing(1, 1, 5, 5)))[0].boxes) == 1
    voc(tmp_path, thing(1, 1, 5, 5), thing(2, 2, 6, 6))
    assert len(only(tmp_path)[0].boxes) == 2


# -- how it is told ------------------------------------------------------------------------------------------


def test_one_warning_of_each_kind(tmp_path, caplog):
    voc(tmp_path, *[thing(x, 1, x + 80, 9) for x in (3, 4, 5)], thing(30, 1, 20, 9))
    with caplog.at_level(logging.WARNING):
        load_set(tmp_path)
    first, second = caplog.messages
    assert "a.xml:3: box (3, 1, 83, 9) reaches out" in first
    assert "and 2 more like it; 'caffelite det check" in first
    assert "swapped" in second and "more like it" not in second


def test_read_set_tells_nothing(tmp_path, caplog):
    reading = read_set(voc(tmp_path, thing(None, 1, 2, 3), thing(1, 1, 5, 99)))
    assert [finding.error for finding in reading.findings] == [True, False]
    assert not caplog.messages and reading.names == {"cat": 1} and reading.format == "PASCAL VOC"


def test_a_box_is_inside_whatever_was_written(tmp_path):
    """No zero-size, swapped or outside boxes come to the training, where they make a loss NaN."""
    rng = np.random.default_rng(0)
    boxes = rng.integers(-50, 120, (300, 4))
    (picture,) = read_set(voc(tmp_path, *[thing(*box) for box in boxes])).dataset.pictures
    x1, y1, x2, y2 = picture.boxes.T
    assert 20 < len(x1) < 300
    assert (x1 >= 0).all() and (y1 >= 0).all() and (x2 <= 59).all() and (y2 <= 39).all()
    assert (x2 >= x1).all() and (y2 >= y1).all()
    image(tmp_path / "JPEGImages", "b.jpg")
    assert "no annotation" in kinds(read_set(tmp_path).dataset)
