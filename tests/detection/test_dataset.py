from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import caffelite.detection
from caffelite.detection import DetectionSet, divide, load_set
from caffelite.errors import DataError, MissingFileError, UsageError

from .files import image, thing, voc
from .sets import dataset, picture


def test_names_are_there_and_nothing_heavy_is_loaded():
    code = "import sys, caffelite.detection; print({'numpy', 'cv2'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "set()\n"
    )
    for name in caffelite.detection.__all__:
        assert getattr(caffelite.detection, name)
        assert name in dir(caffelite.detection)
    with pytest.raises(AttributeError, match=r"'caffelite.detection' has no attribute 'nothing'"):
        _ = caffelite.detection.nothing


def test_a_picture_knows_areas_and_crowds_if_it_is_not_told():
    one = picture("a", [[0, 0, 9, 4], [2, 2, 2, 2]])
    assert one.areas.tolist() == [50, 1] and one.crowd.tolist() == [False, False]
    assert picture("b", []).areas.shape == (0,)


def test_divide():
    whole = dataset(*(picture(f"{n}", []) for n in range(100)))
    train, test = divide(whole, 0.25, seed=3)
    assert (len(train), len(test)) == (75, 25) and train.classes == whole.classes
    keys = [one.key for one in test.pictures]
    assert not set(keys) & {one.key for one in train.pictures} and keys == sorted(keys, key=int)
    assert keys == [one.key for one in divide(whole, 0.25, seed=3)[1].pictures]
    assert keys != [one.key for one in divide(whole, 0.25, seed=4)[1].pictures]
    for share in (0, 1, -0.5):
        with pytest.raises(UsageError, match="expected a share between 0 and 1"):
            divide(whole, share)


def test_paths_that_are_no_sets(tmp_path):
    with pytest.raises(MissingFileError, match=r"data set '.*none' does not exist\n  Fix: paths count from"):
        load_set(tmp_path / "none")
    image(tmp_path, "a.jpg")
    with pytest.raises(
        DataError, match=r"no annotations that are known\n  Fix: give a VOC folder, COCO JSON"
    ):
        load_set(tmp_path)


def test_classes_that_are_asked_for_twice(tmp_path):
    with pytest.raises(UsageError, match="class 'Cat' stands twice among the classes asked for"):
        load_set(voc(tmp_path, thing(1, 1, 5, 5)), classes=["cat", "Cat"])


def test_a_set_is_a_plain_object(tmp_path):
    found = load_set(str(voc(tmp_path, thing(1, 1, 5, 5))))
    assert isinstance(found, DetectionSet) and len(found) == 1
    assert found.pictures[0].boxes.dtype == np.float32
