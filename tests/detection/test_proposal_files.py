from __future__ import annotations

import base64
import logging
import pickle

import numpy as np
import pytest

from caffelite.detection.proposals import read_proposals, write_proposals
from caffelite.detection.proposals.matlab import read_mat
from caffelite.errors import DataError, MissingFileError, UsageError

from .sets import dataset, picture

# Written by scipy 1.17.1; boxes of picture 1 are [[11, 21, 40, 60], [1, 1, 100, 80]], picture 2 has none.
CELLS = (  # boxes, compressed
    "00Bu&4*&oFR{#J2c%0*7U|@Iv#B4y!0mO_95WtGWXM)lov84Qp)M6mb2gC(P`q<F)f%LE-na2sl4h%4$24#M*htQ^Id>1G`5=#3)=@18yy#{#fWx!%D2mk=~xC#j"
)
NAMED = (  # boxes, images {'000005', '000007'} and a struct, compressed
    "00Bu&4*&oFR{#J2c%0*7U|@Iv#B4y!0mO_95WtGWXM)lov84Qp)M6mb2gC(P`q<F)f%LE-na2sl4h%4$24#M*htQ^I"
    "d>1G`5=#3)=@18yy#{#fWx!%D2mk=~xC#jm0000!0001Zoa19)VAue}Y(UHb#Ec9Oz>36Yg3=&0nYoGSsl^Nod_cAZ"
    "l0FtJ`q+@n6M*s!K){qj{pJh|0FEODtq%YI06YKy0C=3^V_;xt0Ae;E<^W<Q1_)q<@)?mZNG!i3Bee+3W&x{Z1d@qB"
    "nh%IAkj&x3V-5)LAc=zj07+m2%m"
)
SINGLE = (  # boxes uint16 [[0, 1, 9, 9], [3, 4, 5, 6]], not compressed
    "00Bu&4gdfENB{r;1^@s62mk;83jhEB000001poj52mk;80ssI21ONa40RR911poj5VsCh5a{vGU1ONa45C8xG000930RRL52>=BE2>=EF"
)
TWO = dataset(picture("a", [], size=(100, 120)), picture("b", []))


def mat(path, text):
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + base64.b85decode(text))
    return path


def test_npz(tmp_path):
    proposals = {
        "a/b": (np.float32([[1, 2, 3, 4], [0, 0, 9, 9]]), np.float32([2, 1])),
        "c": (np.zeros((0, 4), "f"), np.zeros(0, "f")),
    }
    write_proposals(tmp_path / "new" / "p.npz", proposals)
    read = read_proposals(tmp_path / "new" / "p.npz")
    assert list(read) == list(proposals)
    for key in read:
        np.testing.assert_array_equal(read[key][0], proposals[key][0])
        np.testing.assert_array_equal(read[key][1], proposals[key][1])
    write_proposals(tmp_path / "none.npz", {})
    assert read_proposals(tmp_path / "none.npz") == {}
    with pytest.raises(UsageError, match="expected a name that ends in .npz"):
        write_proposals(tmp_path / "p.mat", {})


def test_lists_of_selective_search_are_y_first_and_from_1(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    read = read_proposals(mat(tmp_path / "voc.mat", CELLS), TWO)
    np.testing.assert_array_equal(read["a"][0], [[20, 10, 59, 39], [0, 0, 79, 99]])
    np.testing.assert_array_equal(read["a"][1], np.float32([1, 0.5]))
    assert len(read["b"][0]) == 0
    assert "boxes taken as y1, x1, y2, x2 counted from 1" in caplog.text


def test_doubles_and_thin_boxes_of_matlab_files_are_left_out(tmp_path, monkeypatch):
    from caffelite.detection.proposals import files

    boxes = np.float64([[5, 5, 20, 20], [1, 1, 9, 9], [5, 5, 20, 20], [3, 3, 3, 30], [3, 3, 4, 30]])
    monkeypatch.setattr(files, "read_mat", lambda _: {"boxes": boxes})
    (tmp_path / "a_boxes.mat").touch()
    read = read_proposals(tmp_path / "a_boxes.mat", order="xyxy")
    np.testing.assert_array_equal(read["a"][0], boxes[[0, 1, 4]])


def test_the_size_of_a_picture_decides(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    wide = dataset(picture("a", [], size=(120, 81)), picture("b", []))
    read = read_proposals(mat(tmp_path / "voc.mat", CELLS), wide)
    np.testing.assert_array_equal(read["a"][0], [[11, 21, 40, 60], [1, 1, 100, 80]])
    assert "x1, y1, x2, y2 counted from 0 (only so they lie in the pictures)" in caplog.text
    asked = read_proposals(tmp_path / "voc.mat", wide, order="yxyx")
    np.testing.assert_array_equal(asked["a"][0][1], [0, 0, 79, 99])


def test_one_picture_s_boxes_are_x_first_and_from_0(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    read = read_proposals(mat(tmp_path / "000004_boxes.mat", SINGLE))
    np.testing.assert_array_equal(read["000004"][0], [[0, 1, 9, 9], [3, 4, 5, 6]])
    assert "there are zeros, so they count from 0" in caplog.text


def test_matlab_files_with_names(tmp_path):
    read = read_proposals(mat(tmp_path / "voc.mat", NAMED))
    assert list(read) == ["000005", "000007"]


def test_matlab_files_that_are_none(tmp_path):
    whole = mat(tmp_path / "voc.mat", CELLS).read_bytes()
    for name, data, message in [
        ("short", whole[:-30], "is broken or cut short"),
        ("seven", b"\x89HDF" + whole[4:], r"is no MATLAB file of version 5 to 7\n  Fix: in MATLAB, save"),
        ("text", b"boxes", "is no MATLAB file"),
    ]:
        (tmp_path / f"{name}.mat").write_bytes(data)
        with pytest.raises(DataError, match=message):
            read_mat(tmp_path / f"{name}.mat")
    (tmp_path / "empty.mat").write_bytes(whole[:128])
    with pytest.raises(DataError, match="expected a variable 'boxes', got none"):
        read_proposals(tmp_path / "empty.mat")


def test_pickles(tmp_path):
    file = tmp_path / "rpn_proposals.pkl"
    boxes = [np.array([[1, 2, 3, 4.5], [0, 0, 9, 9]]), np.zeros((0, 4))]
    file.write_bytes(pickle.dumps(boxes, 2))
    read = read_proposals(file, TWO)
    np.testing.assert_array_equal(read["a"][0], boxes[0])
    assert read["a"][1].tolist() == [1, 0.5] and len(read["b"][0]) == 0
    with pytest.raises(UsageError, match="name no pictures"):
        read_proposals(file)
    with pytest.raises(DataError, match="2 lists of boxes for the 1 pictures of 'toys'"):
        read_proposals(file, dataset(picture("a", [])))


@pytest.mark.parametrize("name", ["ids", "indexes"])
def test_pickles_of_detectron(tmp_path, name):
    file = tmp_path / "proposals.pkl"
    boxes = [np.float32([[1, 2, 3, 4], [0, 0, 9, 9]])]
    file.write_bytes(pickle.dumps({"boxes": boxes, "scores": [np.float32([0.1, 0.9])], name: [12]}))
    read = read_proposals(file, dataset(picture("000012", [])))
    np.testing.assert_array_equal(read["000012"][0], boxes[0][::-1])
    assert list(read_proposals(file)) == ["12"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("p.npz", b"no", "expected keys, counts, boxes and scores"),
        ("p.pkl", pickle.dumps([[[1, 2], [3]]] * 2), "expected numbers: setting an array element"),
        ("p.pkl", pickle.dumps([np.full((1, 4), np.nan)] * 2), "some numbers are not finite"),
        (
            "p.pkl",
            pickle.dumps({"boxes": [np.zeros((1, 4))] * 2, "ids": [1]}),
            "2 lists of boxes, 2 of scores and 1 ids do not fit",
        ),
        (
            "p.pkl",
            pickle.dumps({"boxes": [np.zeros((1, 4))] * 2, "scores": 3}),
            "2 lists of boxes, -1 of scores and 2 ids do not fit",
        ),
        (
            "p.pkl",
            pickle.dumps({"boxes": [np.zeros((2, 4))], "ids": [1], "scores": [[0.5]]}),
            "2 boxes have 1 scores",
        ),
        ("p.txt", b"", "expected a name that ends in .npz, .mat or .pkl"),
        ("p.pkl", pickle.dumps(3), "expected a list of boxes"),
        ("p.pkl", pickle.dumps([np.zeros((2, 3))]), r"expected boxes \(K, 4\), got shape \(2, 3\)"),
    ],
)
def test_broken_files(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_proposals(tmp_path / name, TWO)


def test_no_file_and_no_order(tmp_path):
    with pytest.raises(MissingFileError, match="proposals '.*p.npz' does not exist"):
        read_proposals(tmp_path / "p.npz")
    with pytest.raises(UsageError, match="order: expected xyxy or yxyx, got 'xywh'"):
        read_proposals(mat(tmp_path / "p.mat", CELLS), TWO, order="xywh")
