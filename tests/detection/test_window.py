from __future__ import annotations

import numpy as np
import pytest

from caffelite.data.window_file import read_window_file
from caffelite.detection import load_set
from caffelite.detection.formats.window import windows_of, write_windows
from caffelite.errors import DataError

from .files import image, kinds
from .sets import picture


def windows(folder, *rows, name="windows.txt", size=(60, 40)):
    path = image(folder, "a.png")
    head = ["# 0", str(path), "3", str(size[1]), str(size[0]), str(len(rows))]
    (folder / name).write_text("\n".join([*head, *rows, ""]))
    return folder / name


def test_objects_are_what_overlaps_entirely(tmp_path):
    dataset = load_set(windows(tmp_path, "2 1.0 10 5 29 12", "2 0.7 9 5 29 12", "0 0 1 1 5 5", "1 1 0 0 3 3"))
    (found,) = dataset.pictures
    np.testing.assert_array_equal(found.boxes, [[10, 5, 29, 12], [0, 0, 3, 3]])
    assert found.labels.tolist() == [2, 1] and dataset.classes == ("1", "2") and not dataset.findings
    named = load_set(tmp_path / "windows.txt", classes=["cat", "dog", "cow"])
    assert named.classes == ("cat", "dog", "cow") and named.pictures[0].labels.tolist() == [2, 1]


def test_lines_are_told(tmp_path):
    dataset = load_set(windows(tmp_path, "0 0.1 1 1 5 5", "1 1 10 10 80 20", size=(50, 40)))
    assert kinds(dataset) == ["size", "outside"]
    assert dataset.findings[1].place.endswith("windows.txt:8")
    with pytest.raises(
        DataError, match=r"windows.txt:7: expected a class from 1 for a window with overlap 1, got 0"
    ):
        load_set(windows(tmp_path, "0 1 1 1 5 5"))


def test_a_folder_with_splits(tmp_path):
    windows(tmp_path, "1 1 0 0 3 3", name="window_file_train.txt")
    windows(tmp_path, "2 1 0 0 3 3", name="window_file_val.txt")
    assert load_set(tmp_path, "train").classes == ("1", "2")
    with pytest.raises(DataError, match=r"no split 'test'\n  Fix: one of train, val"):
        load_set(tmp_path, "test")


def test_windows_of_proposals():
    objects = picture(
        "a", [[10, 10, 19, 19], [30, 10, 39, 19], [0, 0, 5, 5]], [2, 1, 1], [False, False, True]
    )
    rows = windows_of(objects, np.array([[10, 10, 19, 14], [31, 10, 39, 19], [80, 80, 90, 90], [0, 0, 5, 5]]))
    np.testing.assert_array_equal(rows[:, 0], [2, 1, 2, 1, 0, 0])
    np.testing.assert_allclose(rows[:, 1], [1, 1, 0.5, 0.9, 0, 0])
    assert windows_of(picture("b", []), np.zeros((0, 4))).shape == (0, 6)
    np.testing.assert_array_equal(
        windows_of(picture("b", []), np.array([[1, 2, 3, 4]])), [[0, 0, 1, 2, 3, 4]]
    )


def test_what_is_written_is_read_by_the_layers_reader_and_by_ours(tmp_path):
    path = image(tmp_path, "ä 1.png")
    first = picture("a", [[10, 5, 29, 12]], [3], path=path, size=(60, 40))
    empty = picture("b", [], path=path, size=(60, 40))
    proposals = {"a": np.array([[10, 5, 29, 10], [50, 30, 55, 35]]), "b": np.zeros((0, 4))}
    write_windows(tmp_path / "w.txt", [first, empty], proposals)
    read = read_window_file(str(tmp_path / "w.txt"), 0.5, 0.5)
    np.testing.assert_array_equal(read.foreground, [[0, 3, 10, 5, 29, 12], [0, 3, 10, 5, 29, 10]])
    np.testing.assert_array_equal(read.background, [[0, 0, 50, 30, 55, 35]])
    np.testing.assert_array_equal(read.sizes, [[40, 60], [40, 60]])
    (found,) = load_set(tmp_path / "w.txt").pictures[:1]
    np.testing.assert_array_equal(found.boxes, first.boxes)


def test_pictures_without_proposals_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(DataError, match="no proposals for picture 'a'"):
        write_windows(tmp_path / "w.txt", [picture("a", [])], {})
    assert not list(tmp_path.iterdir())
