"""Numbers of classes in the nets of a detector, all of them, before it is trained."""

from __future__ import annotations

import re

import pytest

from caffelite.detection import load_set, make_shapes
from caffelite.detection.class_counts import check_classes_of_nets, net_of
from caffelite.detection.recipes import init
from caffelite.errors import NetError

from .old_models import FOLDER, lay_out
from .small_detectors import CLASSES


@pytest.fixture
def old(tmp_path):
    """A model's folder with nets of four classes, the background one of them."""
    lay_out(tmp_path, len(CLASSES) + 1)
    return tmp_path / FOLDER


def check(folder, classes=CLASSES):
    check_classes_of_nets(folder, sorted(folder.glob("*solver*")), folder / "test.prototxt", classes)


def problems(folder, classes=CLASSES):
    """What is wrong: {layer: file:line of it}."""
    with pytest.raises(NetError) as caught:
        check(folder, classes)
    return dict(re.findall(r"layer '([^']+)'.*?(\w+\.prototxt:\d+)", str(caught.value)))


def edit(path, pattern, new):
    text, count = re.subn(pattern, new, path.read_text())
    assert count == 1
    path.write_text(text)


def line_of(path, layer):
    lines, name = path.read_text().splitlines(), f'name: "{layer}"'
    return f"{path.name}:{next(n for n, line in enumerate(lines, 1) if name in line)}"


def test_nets_that_suit_the_classes(old):
    check(old)


def test_the_net_of_a_solver_stands_beside_it_wherever_its_path_leads(old):
    edit(old / "solver.prototxt", 'train_net: ".*"', 'net: "elsewhere/train.prototxt"')
    assert net_of(old / "solver.prototxt", old) == old / "train.prototxt"


@pytest.mark.parametrize("method", ["rcnn", "fast", "faster", "faster-4step"])
def test_what_init_writes_suits(tmp_path, method):
    folder = tmp_path / "recipe"
    folder.mkdir()
    dataset = load_set(make_shapes(tmp_path / "data", 2, 1, size=64), "train")
    card = init(folder, arch="tiny", method=method, dataset=dataset)
    check(folder, card.classes)
    heads = {"cls_score", "bbox_pred"} if method != "rcnn" else set()
    assert heads <= problems(folder, ("one",)).keys() and problems(folder, ("one",))


def test_all_places_are_named_with_their_lines(old):
    found = problems(old, ("cat",))
    names = ("input-data", "roi-data", "cls_score", "bbox_pred")
    assert found == {name: line_of(old / "train.prototxt", name) for name in names}


@pytest.mark.parametrize(
    ("layer", "pattern", "new", "expected"),
    [
        ("roi-data", r"(name: \"roi-data\".*'num_classes': )4", r"\g<1>21", "expected 'num_classes': 4 for 3 classes"),
        ("cls_score", r"(name: \"cls_score\".*num_output: )4", r"\g<1>5", "expected 4 outputs for 3 classes"),
        ("bbox_pred", r"(name: \"bbox_pred\".*num_output: )16", r"\g<1>4", "expected 16 outputs, 4 for each class,"),
    ],
)  # fmt: skip
def test_one_place(old, layer, pattern, new, expected):
    edit(old / "train.prototxt", pattern, new)
    assert problems(old).keys() == {layer}
    with pytest.raises(NetError, match=expected):
        check(old)


def test_a_head_behind_layers_without_weights(old):
    """The loss need not read the head itself."""
    edit(old / "train.prototxt", r'"SoftmaxWithLoss" bottom: "cls_score"', '"SoftmaxWithLoss" bottom: "sure"')
    power = 'layer { name: "sure" type: "Power" bottom: "cls_score" top: "sure" power_param { scale: 2 } }\n'
    edit(old / "train.prototxt", r'(?=layer \{ name: "loss_cls")', power)
    check(old)
    assert "cls_score" in problems(old, ("cat",))


def test_losses_of_other_things_are_left_alone(old):
    """Those of the RPN, and of a net that has nothing of a detector."""
    text = "layer { name: 'd' type: 'DummyData' top: 'x' top: 'y' dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }\n"
    text += "layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'ip' inner_product_param { num_output: 9 } }\n"
    text += "layer { name: 'l' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'y' top: 'l' }\n"
    (old / "train.prototxt").write_text(text)
    (old / "test.prototxt").write_text(text)
    check(old)


def test_the_net_for_testing_has_other_outputs(old):
    edit(old / "test.prototxt", r"(name: \"cls_score\".*num_output: )4", r"\g<1>21")
    assert problems(old) == {"cls_score": line_of(old / "test.prototxt", "cls_score")}
    with pytest.raises(NetError, match=r"4 outputs as in the net for training \(.*train\.prototxt:\d+"):
        check(old)


def test_the_net_for_testing_has_a_layer_that_nobody_trains(old):
    edit(old / "test.prototxt", 'name: "fc6"', 'name: "fc6_new"')
    assert problems(old).keys() == {"fc6_new"}
    edit(old / "test.prototxt", 'name: "fc6_new"', 'name: "fc6_new" param { name: "shared" }')
    check(old)  # it may share weights of a layer with another name
