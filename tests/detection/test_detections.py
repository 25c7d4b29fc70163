from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from caffelite.detection.detections import Detection, as_list, read_detections, write_detections
from caffelite.detection.safe_pickle import read_pickle
from caffelite.errors import DataError, MissingFileError, UsageError

from .sets import dataset, picture, rows

TOYS = dataset(picture("000007", []), picture("000012", []), picture("000020", []), classes=("cat", "dog"))
FOUND = {
    "000012": rows([2, 0.75, 0, 1.5, 10, 20]),
    "000007": rows([1, 0.5, 3, 4, 5, 6], [2, 0.25, 0, 0, 99, 99]),
}


@pytest.mark.parametrize("name", ["d.npz", "d.json", "d.csv", "results"])
def test_written_and_read(tmp_path, name):
    path = tmp_path / "VOC2007" / "Main" / name
    write_detections(path, FOUND, TOYS)
    read = read_detections(path, TOYS)
    assert set(read) == set(FOUND) and read.notes == []
    for key, expected in FOUND.items():
        np.testing.assert_array_equal(read[key], expected)
        assert read[key].dtype == np.float32


def test_voc_files_are_as_the_kit_wants_them(tmp_path):
    write_detections(tmp_path / "Main", FOUND, TOYS, split="val")
    files = sorted(file.name for file in (tmp_path / "Main").iterdir())
    assert files == ["comp4_det_val_cat.txt", "comp4_det_val_dog.txt"]
    text = (tmp_path / "Main" / files[1]).read_text()
    assert text == "000007 0.250 1.0 1.0 100.0 100.0\n000012 0.750 1.0 2.5 11.0 21.0\n"


def test_voc_files_with_a_salt_one_file_and_blanks_in_names(tmp_path):
    toys = dataset(picture("my photo", []), classes=("dining_table",))
    file = tmp_path / "comp4_1f2e-3d_det_test_dining_table.txt"
    file.write_text("my photo 0.123 1 2 3 4\n\n")
    np.testing.assert_array_equal(read_detections(file, toys)["my photo"], rows([1, 0.123, 0, 1, 2, 3]))


def test_coco_results_have_numbers_widths_and_the_data_s_ids(tmp_path):
    toys = dataset(picture("x", [], image_id=139), classes=("cat", "dog"), category_ids=(17, 18))
    write_detections(tmp_path / "r.json", {"x": rows([2, 0.5, 3, 4, 5, 9])}, toys)
    results = json.loads((tmp_path / "r.json").read_text())
    assert results == [{"image_id": 139, "category_id": 18, "bbox": [3, 4, 3, 6], "score": 0.5}]


def test_coco_ids_of_names_without_digits(tmp_path):
    toys = dataset(picture("x", []), picture("y", []))
    write_detections(tmp_path / "r.json", {"y": rows([1, 0.5, 3, 4, 5, 9])}, toys)
    assert json.loads((tmp_path / "r.json").read_text())[0]["image_id"] == 2
    assert set(read_detections(tmp_path / "r.json", toys)) == {"y"}


def test_classes_go_by_names_whatever_their_case(tmp_path):
    toys = dataset(picture("a", []), classes=("Dog", "CAT"))
    file = tmp_path / "d.csv"
    file.write_text("key,class,score,x1,y1,x2,y2\na,cat,.5,0,0,1,1\na,dogs,.5,0,0,1,1\n")
    read = read_detections(file, toys)
    assert read["a"][:, 0].tolist() == [2]
    assert read.notes == [
        "1 detections of class 'dogs' are left out: the data has no such class; did you mean 'Dog'?"
    ]
    other = dataset(picture("a", []), classes=("cat", "horse"))
    write_detections(tmp_path / "d.npz", {"a": rows([2, 0.5, 0, 0, 1, 1], [1, 0.5, 0, 0, 1, 1])}, other)
    read = read_detections(tmp_path / "d.npz", toys)
    assert read["a"][:, 0].tolist() == [2] and len(read.notes) == 1


def test_a_detector_s_folder_holds_its_detections(tmp_path):
    (tmp_path / "detector.json").write_text("{}")
    with pytest.raises(
        MissingFileError, match=r"(?s)eval/detections.npz' does not exist.*caffelite det test"
    ):
        read_detections(tmp_path, TOYS)
    write_detections(tmp_path / "eval" / "detections.npz", FOUND, TOYS)
    assert set(read_detections(tmp_path, TOYS)) == set(FOUND)


def test_all_boxes_of_fast_r_cnn(tmp_path):
    empty = np.zeros((0, 5))
    boxes = [[[], [], []], [empty, np.array([[1, 2, 3, 4, 0.9]]), []], [empty, [], empty]]
    (tmp_path / "detections.pkl").write_bytes(pickle.dumps(boxes, 2))
    read = read_detections(tmp_path / "detections.pkl", TOYS)
    np.testing.assert_array_equal(read["000012"], rows([1, 0.9, 1, 2, 3, 4]))
    with pytest.raises(DataError, match="expected 2 classes with background, got 3"):
        read_detections(tmp_path / "detections.pkl", dataset(*TOYS.pictures))
    with pytest.raises(DataError, match=r"all_boxes\[class\]\[picture\] of the 1 pictures"):
        read_detections(tmp_path / "detections.pkl", dataset(picture("a", []), classes=("a", "b")))


class Bomb:
    def __reduce__(self):
        return eval, ("1 / 0",)


def test_a_pickle_cannot_call_anything(tmp_path):
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps([Bomb()]))
    with pytest.raises(
        DataError, match=r"it names 'builtins.eval', which is neither an array nor a plain value"
    ):
        read_pickle(tmp_path / "bomb.pkl")


def test_pickles_of_arrays_and_plain_values(tmp_path):
    value = [{"boxes": np.arange(4.0), "n": np.float32(2)}, (1, "x", None, {3})]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "v.pkl").write_bytes(pickle.dumps(value, protocol))
        read = read_pickle(tmp_path / "v.pkl")
        np.testing.assert_array_equal(read[0]["boxes"], np.arange(4.0))
        assert read[0]["n"] == 2 and read[1] == value[1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.npz", b"no", "expected keys, counts, rows and classes"),
        ("d.npz", b"", "expected keys, counts, rows and classes: No data left"),
        ("d.csv", b"\xff\xfd", r"d.csv:1: no UTF-8 text"),
        ("d.csv", b"key,class,score,x1,y1,x2,y2\n" + b"a" * 200000, r"d.csv:2: field larger"),
        ("comp4_det_test_cat.txt", b"\n\xff", r"comp4_det_test_cat.txt:2: no UTF-8 text"),
        ("comp4_det_test_cat.txt", b".5 1 2 3 4\n", r"cat.txt:1: expected image score x1 y1 x2 y2, got .5 1"),
        ("d.json", b"[" * 100000, "d.json"),
        (
            "d.json",
            b'[{"image_id": [7], "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]',
            "result 0: expected image_id",
        ),
        (
            "d.pkl",
            pickle.dumps([[]] + [[np.zeros((5, 4)), [], []]] * 2),
            r"class 1, picture '000007'.*\(5, 4\)",
        ),
        ("d.pkl", pickle.dumps([[]] + [["ab", [], []]] * 2), "class 1, picture '000007': could not convert"),
        ("d.csv", b"a,b\n", r"d.csv:1: expected the head line key,class,score"),
        (
            "d.csv",
            b"key,class,score,x1,y1,x2,y2\na,cat,x,1,2,3,4\n",
            r"d.csv:2: expected score x1 y1 x2 y2, got x 1 2",
        ),
        ("d.json", b"{}", "expected a list of COCO results, got a dict"),
        ("d.json", b"[", "d.json"),
        ("d.json", b'[{"image_id": 7}]', "result 0: expected image_id"),
        ("d.pkl", b"\x80", "cannot be read"),
        ("d.xml", b"", "expected a name that ends in"),
        ("comp4_det_test_cat.txt", b"a .5 1 2 3\n", r"comp4_det_test_cat.txt:1: expected image"),
        ("comp4_det_test_cat.txt", b"a b .5 1 2 3\n", r"comp4_det_test_cat.txt:1: expected score"),
    ],
)
def test_broken_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_detections(tmp_path / name, TOYS)


def test_no_file_no_results_no_format(tmp_path):
    with pytest.raises(MissingFileError, match="detections '.*none.npz' does not exist"):
        read_detections(tmp_path / "none.npz", TOYS)
    with pytest.raises(DataError, match="expected files comp4_det_SPLIT_CLASS.txt, found none"):
        read_detections(tmp_path, TOYS)
    with pytest.raises(UsageError, match=r"got '.xml'"):
        write_detections(tmp_path / "d.xml", FOUND, TOYS)


def test_one_picture_as_named_tuples():
    assert as_list(FOUND["000012"], TOYS.classes) == [Detection((0, 1.5, 10, 20), "dog", 0.75)]
