"""A detector's card: what it holds, how it is stored, what it refuses."""

import json

import pytest

from caffelite.detection.card import CARD, Card
from caffelite.errors import DataError, FieldError, MissingFileError, UsageError

CARD_OF_CATS = Card(
    "faster",
    "tiny",
    ("cat", "Hündin"),
    scales=(128,),
    anchors={"base_size": 8, "scales": [2.5], "ratios": [1], "feat_stride": 8},
    config={"TRAIN.IMS_PER_BATCH": 2},
)


def test_what_is_written_is_read(tmp_path):
    path = CARD_OF_CATS.write(tmp_path)
    assert path == tmp_path / CARD
    assert Card.read(tmp_path) == Card.read(path) == CARD_OF_CATS
    assert "Hündin" in path.read_text(encoding="utf-8")


def test_defaults_are_those_of_py_faster_rcnn():
    card = Card("fast", "", ("cat",))
    assert (card.scales, card.max_size, card.nms, card.score, card.limit) == ((600,), 1000, 0.3, 0.05, 100)
    assert Card("fast", "", ("cat",), limit=0).limit == 0  # all, as max_per_image
    assert card.means == (102.9801, 115.9465, 122.7717)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "yolo"),
        ("classes", ()),
        ("classes", ("cat", "cat")),
        ("classes", ("__background__", "cat")),
        ("means", (1, 2)),
        ("means", ("1", "2", "3")),
        ("scales", ()),
        ("scales", (0,)),
        ("scales", (1.5,)),
        ("max_size", True),
        ("nms", 1.5),
        ("score", float("nan")),
        ("limit", -1),
        ("limit", True),
        ("anchors", []),
        ("anchors", {"scales": 8}),
        ("anchors", {"ratios": []}),
        ("anchors", {"base_size": "16"}),
        ("anchors", {"feat_stride": 0}),
        ("config", None),
        ("config", {1: 2}),
    ],
)
def test_a_value_that_no_detector_has_is_refused(name, value):
    values = {"method": "faster", "arch": "", "classes": ("cat",)} | {name: value}
    with pytest.raises(UsageError, match=f"^{name}: expected .*, got "):
        Card(**values)


def test_a_setting_that_there_is_not_is_refused():
    with pytest.raises(FieldError, match=r"TRAIN\.SCALE"):
        Card("faster", "", ("cat",), config={"TRAIN.SCALE": [600]})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read as a detector's card"),
        ("[]", "expected an object"),
        ('{"method": "fast", "arch": ""}', "classes: expected .*, got nothing"),
        (
            '{"method": "fast", "arch": "", "classes": ["cat"], "scale": [1]}',
            "no key 'scale'.*did you mean 'scales'",
        ),
        ('{"method": "fast", "arch": "", "classes": "cat"}', "classes: expected .*, got 'cat'"),
    ],
)
def test_a_file_that_is_no_card_is_refused(tmp_path, text, said):
    (tmp_path / CARD).write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        Card.read(tmp_path)
    assert CARD in str(caught.value)


def test_a_missing_card_says_how_one_is_made(tmp_path):
    with pytest.raises(MissingFileError, match="det init"):
        Card.read(tmp_path)


def test_the_file_is_plain_json(tmp_path):
    values = json.loads(CARD_OF_CATS.write(tmp_path).read_text(encoding="utf-8"))
    assert values["classes"] == ["cat", "Hündin"]
    assert values["config"] == {"TRAIN.IMS_PER_BATCH": 2}
