from __future__ import annotations

import json

import numpy as np
import pytest

from caffelite.detection import load_set
from caffelite.detection.formats.coco_writer import write_coco
from caffelite.detection.formats.detect import splits_of
from caffelite.errors import DataError

from .files import coco, image, kinds

IMAGES = [
    {"id": 5, "file_name": "a.jpg", "width": 60, "height": 40},
    {"id": 9, "file_name": "b.jpg", "width": 60, "height": 40},
]


def box(values, category=7, image_id=5, **more):
    return {"id": 100, "image_id": image_id, "category_id": category, "bbox": values, **more}


@pytest.fixture
def folder(tmp_path):
    image(tmp_path / "images", "a.jpg")
    image(tmp_path / "images", "b.jpg")
    return tmp_path


def test_boxes_classes_crowds_and_areas(folder):
    things = [
        box([10, 5, 20, 8], area=77.5),
        box([0, 0, 60, 40], 3, iscrowd=1),
        box([1.5, 2.5, 4.25, 4], 3, area=5, iscrowd=0),
    ]
    dataset = load_set(coco(folder / "instances.json", IMAGES, things))
    assert dataset.classes == ("dog", "cat")  # in the order of their ids
    assert dataset.category_ids == (3, 7)
    first, second = dataset.pictures
    np.testing.assert_array_equal(first.boxes, [[10, 5, 29, 12], [0, 0, 59, 39], [1.5, 2.5, 4.75, 5.5]])
    assert first.labels.tolist() == [2, 1, 1]
    assert first.crowd.tolist() == first.difficult.tolist() == [False, True, False]
    np.testing.assert_array_equal(first.areas, [77.5, 2400, 5])
    assert (first.key, first.image_id, second.image_id) == ("a", 5, 9)
    assert second.boxes.shape == (0, 4) and not dataset.findings


def test_classes_asked_for_keep_their_ids(folder):
    path = coco(folder / "instances.json", IMAGES, [box([1, 1, 5, 5])])
    dataset = load_set(path, classes=["cat", "dog"])
    assert dataset.category_ids == (7, 3) and dataset.pictures[0].labels.tolist() == [1]
    assert load_set(path, classes=["cat", "cow"]).category_ids == ()


def test_what_is_wrong_with_annotations(folder):
    things = [
        box([1, 1, 0, 5]),
        box([]),
        box([1, 1, 5, 5], 99),
        box([1, 1, 5, 5], image_id=77),
        box([1, 1, 5, 5], image_id=None),
        box([-5, 1, 10, 5]),
        box([1, 1, 5, 5], "7"),
    ]
    dataset = load_set(coco(folder / "instances.json", IMAGES, things))
    assert kinds(dataset) == [
        "no box",
        "unknown class",
        "unknown class",
        "no picture",
        "no picture",
        "nothing",
        "outside",
    ]
    np.testing.assert_array_equal(dataset.pictures[0].boxes, [[0, 1, 4, 5]])
    assert dataset.findings[0].place.endswith("instances.json: annotation 100")


@pytest.mark.parametrize("values", [[1, 2, 3], ["x", 1, 2, 3], 5, [1, 2, 3, None], [1, 1, float("nan"), 2]])
def test_boxes_that_are_none(folder, values):
    path = coco(folder / "instances.json", IMAGES, [box(values)])
    with pytest.raises(
        DataError, match=r"instances.json: annotation 100: expected .*\n  Fix: write the box anew"
    ):
        load_set(path)


def test_missing_images(folder):
    path = coco(folder / "instances.json", [*IMAGES, {"id": 1, "file_name": "gone.jpg"}], [box([1, 1, 5, 5])])
    dataset = load_set(path)
    assert [picture.key for picture in dataset.pictures] == ["a", "b"]
    assert kinds(dataset) == ["no picture"] and dataset.findings[0].place.endswith("image 1")


def test_a_folder_with_splits(tmp_path):
    for split, name in (("train2017", "a.jpg"), ("val2017", "b.jpg")):
        image(tmp_path / split, name)
        images = [{"id": 1, "file_name": name}]
        coco(tmp_path / f"annotations/instances_{split}.json", images, [box([1, 1, 5, 5], image_id=1)])
        coco(tmp_path / f"annotations/captions_{split}.json", images, [])
    assert splits_of(tmp_path) == ["train", "val"]
    dataset = load_set(tmp_path, "val")
    assert dataset.pictures[0].path == tmp_path / "val2017/b.jpg" and len(dataset.pictures[0].boxes) == 1
    with pytest.raises(
        DataError, match=r"holds several COCO files: .*\n  Fix: give a file or a split \(train, val\)"
    ):
        load_set(tmp_path)
    with pytest.raises(DataError, match=r"no split 'test'\n  Fix: one of train, val"):
        load_set(tmp_path, "test")


def test_a_folder_a_split(tmp_path):
    for split in ("train", "valid"):
        image(tmp_path / split, "a.jpg")
        coco(tmp_path / split / "_annotations.coco.json", IMAGES[:1], [box([1, 1, 5, 5])])
    (picture,) = load_set(tmp_path, "val").pictures
    assert picture.path == tmp_path / "valid/a.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [}', r"a\.json:1: no valid JSON"),
        ('{"images": [], "annotations": []}', "got none for categories"),
        ('{"images": [], "annotations": [3], "categories": []}', "got none for annotations"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": "x", "name": "y"}]}',
            "expected a whole number for id",
        ),
    ],
)
def test_files_that_are_broken(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=message):
        load_set(tmp_path / "a.json")


def test_a_byte_order_mark(folder):
    path = coco(folder / "instances.json", IMAGES, [box([1, 1, 5, 5])])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load_set(path)) == 2


def test_a_size_of_text_is_no_size(folder):
    path = coco(folder / "instances.json", [{**IMAGES[0], "width": "wide", "height": None}], [])
    assert not load_set(path).findings


def test_other_json_is_none(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"scores": [1, 2]}))
    with pytest.raises(DataError, match="has no annotations that are known"):
        load_set(tmp_path)


def test_written_and_read_again(folder):
    """Numbers of categories keep their gaps; a crowd, an area and a difficult object stay what they are."""
    first = coco(
        folder / "train.json",
        IMAGES,
        [
            box([1, 2, 10, 20], area=77.0),
            box([0, 0, 30, 30], 3, iscrowd=1),
            box([5, 5, 9, 9.5], image_id=9, ignore=1),
        ],
    )
    before = load_set(first)
    after = load_set(write_coco(folder / "copies" / "again.json", before))
    assert (after.classes, after.category_ids) == (before.classes, before.category_ids)
    assert [p.image_id for p in after.pictures] == [5, 9]
    for old, new in zip(before.pictures, after.pictures, strict=True):
        assert new.path.samefile(old.path)
        for name in ("boxes", "labels", "difficult", "crowd", "areas"):
            np.testing.assert_array_equal(getattr(new, name), getattr(old, name))
