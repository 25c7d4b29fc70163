from __future__ import annotations

import numpy as np
import pytest

from caffelite.detection import load_set
from caffelite.detection.formats.detect import splits_of
from caffelite.errors import DataError

from .files import image, kinds

BOX = [[10, 5, 29, 12]]


def table(folder, text, name="boxes.csv"):
    for key in ("a.jpg", "b.jpg"):
        image(folder / "images", key)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    "text",
    [
        "filename,xmin,ymin,xmax,ymax,label\na.jpg,10,5,29,12,cat",
        "filename,ymin,xmin,ymax,xmax,class\na.jpg,5,10,12,29,cat",  # pycaffe's order
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,60,40,cat,10,5,29,12",  # TensorFlow's tutorials
        "Image Path;X1;Y1;X2;Y2;Class Name\nimages/a.jpg;10;5;29;12;cat",
        "image_id\tlabel\tx\ty\tw\th\na\tcat\t10\t5\t20\t8",
        "file,x,y,width,height,label\na.jpg,10,5,20,8,cat",
        "a.jpg,10,5,29,12,cat",  # no header
        "\ufefffilename, xmin, ymin, xmax, ymax, label\r\n\r\na.jpg, 10, 5, 29, 12, cat\r\n",
    ],
)
def test_orders(tmp_path, text):
    dataset = load_set(table(tmp_path, text))
    (picture,) = dataset.pictures
    np.testing.assert_array_equal(picture.boxes, BOX)
    assert dataset.classes == ("cat",) and picture.key in ("a", "images/a") and not dataset.findings


def test_shares(tmp_path):
    text = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\na,cat,0.25,0.75,0,0.5,1\n"
    (picture,) = load_set(table(tmp_path, text)).pictures
    np.testing.assert_array_equal(picture.boxes, [[15, 0, 44, 19]])
    assert picture.crowd.tolist() == [True]


def test_rows_of_one_image_and_images_without_objects(tmp_path):
    text = "filename,xmin,ymin,xmax,ymax,label\na.jpg,1,1,5,5,cat\nb.jpg,,,,,\na.jpg,2,2,6,6,dog\n"
    dataset = load_set(table(tmp_path, text))
    assert [(picture.key, len(picture.boxes)) for picture in dataset.pictures] == [("a", 2), ("b", 0)]
    assert dataset.classes == ("cat", "dog")
    assert dataset.pictures[0].source.endswith("boxes.csv:2")


def test_without_labels(tmp_path):
    dataset = load_set(table(tmp_path, "filename,xmin,ymin,xmax,ymax\na.jpg,10,5,29,12\n"))
    assert dataset.classes == ("object",)


def test_splits_by_column_and_by_file(tmp_path):
    text = "filename,xmin,ymin,xmax,ymax,label,split\na.jpg,1,1,5,5,cat,train\nb.jpg,1,1,5,5,dog,test\n"
    path = table(tmp_path / "one", text)
    assert splits_of(path) == ["train", "test"]
    assert [picture.key for picture in load_set(path, "test").pictures] == ["b"]
    assert load_set(path, "train").classes == ("cat", "dog")
    for name, row in (("train_labels.csv", "a.jpg,1,1,5,5,cat"), ("test_labels.csv", "b.jpg,1,1,5,5,dog")):
        table(tmp_path / "two", f"filename,xmin,ymin,xmax,ymax,label\n{row}\n", name)
    assert splits_of(tmp_path / "two") == ["train", "test"]
    test = load_set(tmp_path / "two", "test")
    assert [picture.key for picture in test.pictures] == ["b"] and test.classes == ("cat", "dog")
    assert len(load_set(tmp_path / "two")) == 2
    with pytest.raises(DataError, match="no split 'val'"):
        load_set(tmp_path / "two", "val")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,b,c\n1,2,3\n",
            r"boxes\.csv:1: expected columns of a file name and a box, got 'a,b,c'\n  Fix: write a first line",
        ),
        ("", r"boxes\.csv: the table is empty"),
        ("filename,xmin,ymin,xmax,ymax,label\na.jpg,1\n", r"boxes\.csv:2: expected 6 columns, got 2"),
        (
            "filename,xmin,ymin,xmax,ymax,label\na.jpg,1,1,x,5,cat\n",
            r"boxes\.csv:2: expected four numbers for a box, got 1, 1, x, 5",
        ),
        ("filename,xmin,ymin,xmax,ymax,label\na.jpg,1,1,,5,cat\n", r"boxes\.csv:2: expected four numbers"),
        (
            "filename,xmin,ymin,xmax,ymax,label\na.jpg,1,1,nan,5,cat\n",
            r"boxes\.csv:2: expected numbers for a box",
        ),
        (
            "filename,xmin,ymin,xmax,ymax,label\n,1,1,5,5,cat\n",
            r"boxes\.csv:2: expected the name of an image",
        ),
    ],
)
def test_tables_that_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        load_set(table(tmp_path, text))


def test_a_row_that_ends_before_its_box(tmp_path):
    path = table(tmp_path, "label,split,filename,x,y,w,h\ncat,train,a.jpg,1,1\n")
    with pytest.raises(DataError, match=r"boxes\.csv:2: expected four numbers for a box, got 1, 1, , \n"):
        load_set(path)


def test_text_that_is_not_utf_8(tmp_path):
    path = table(tmp_path, "")
    path.write_bytes("filename,xmin,ymin,xmax,ymax,label\na.jpg,1,1,5,5,Käfer\n".encode("latin1"))
    with pytest.raises(DataError, match=r"boxes\.csv:2: no UTF-8 text\n  Fix: save the file as UTF-8"):
        load_set(path)


def test_images_that_are_not_there(tmp_path):
    text = "filename,xmin,ymin,xmax,ymax,label\na.jpg,1,1,5,5,cat\nc.jpg,1,1,5,5,cat\n"
    assert kinds(load_set(table(tmp_path, text))) == ["no picture"]
