"""InfogainLoss."""

import numpy as np
import pytest

from caffelite.errors import DataError, MissingFileError, NetError
from caffelite.graph.build import build_graph
from caffelite.prototxt.source import parse_net
from caffelite.testing import check_layer, make_layer, run_layer
from caffelite.weights.blob import encode_blob

SCORES = np.log([[1.0, 3.0], [3.0, 1.0], [1.0, 1.0]])  # p = (1/4, 3/4), (3/4, 1/4), (1/2, 1/2)
P = np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True)
H = np.array([[2.0, 1.0], [0.0, 5.0]])
LABELS = np.array([1, 0, 1])
LOSSES = -(H[LABELS] * np.log(P)).sum(axis=1)


def loss(fields="", labels=LABELS, matrix=H, **more):
    return run_layer("InfogainLoss", f"loss_param {{ {fields} }}", [SCORES, labels, matrix], **more)


def test_worked_example():
    run = loss(dy=[3.0], labels=[1, 0.9, 1])  # cut to 1, 0, 1
    np.testing.assert_allclose(run.y[0], LOSSES.sum() / 3)
    rows = H[LABELS]
    np.testing.assert_allclose(run.dx[0], P * rows.sum(axis=1, keepdims=True) - rows)
    assert run.dx[1] is None and run.dx[2] is None


def test_the_identity_makes_it_softmax_with_loss():
    want = run_layer("SoftmaxWithLoss", "", [SCORES, LABELS], dy=[1])
    run = loss(matrix=np.eye(2).reshape(1, 1, 2, 2), dy=[1])
    np.testing.assert_allclose(run.y[0], want.y[0])
    np.testing.assert_allclose(run.dx[0], want.dx[0])


@pytest.mark.parametrize(
    ("fields", "divisor"),
    [("", 2), ("normalization: FULL", 3), ("normalization: BATCH_SIZE", 3), ("normalization: NONE", 1)],
)
def test_divisors_and_ignored_labels(fields, divisor):
    run = loss(f"{fields} ignore_label: 0", dy=[1])
    np.testing.assert_allclose(run.y[0], LOSSES[[0, 2]].sum() / divisor)
    assert not run.dx[0][1].any()
    assert loss(f"{fields} ignore_label: 7", labels=[7, 7, 7]).y[0] == 0


def test_cap():
    run = run_layer("InfogainLoss", "", [[[0.0, 1000.0]], [0], np.eye(2)])
    np.testing.assert_allclose(run.y[0], 46.0517, rtol=1e-6)


def test_second_top_holds_the_probabilities():
    np.testing.assert_allclose(loss(tops=2).y[1], P)


@pytest.mark.parametrize("tops", [1, 2])
def test_checks(tops):
    check_layer(
        "InfogainLoss", "loss_param { ignore_label: 1 }", [(3, 4), (3,), (4, 4)], labels={1: 4}, tops=tops
    )
    check_layer("InfogainLoss", "", [(2, 4, 3, 5), (2, 1, 3, 5), (1, 1, 4, 4)], labels={1: 4}, tops=tops)
    for text, shape in (("axis: -1", (2, 3, 4)), ("axis: 0", (4, 2, 3))):
        check_layer("InfogainLoss", f"infogain_loss_param {{ {text} }}", [shape, (6,), (16,)], labels={1: 4})


# -- the matrix in a file --------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "infogain.binaryproto"
    path.write_bytes(b"".join(encode_blob(H.reshape(1, 1, 2, 2).astype("float32"))))
    return path


def test_source(source):
    run = run_layer("InfogainLoss", f'infogain_loss_param {{ source: "{source}" }}', [SCORES, LABELS], dy=[1])
    np.testing.assert_allclose(run.y[0], loss().y[0])
    np.testing.assert_allclose(run.dx[0], loss(dy=[1]).dx[0])


def test_it_is_read_once(source):
    net = parse_net(
        'layer { name: "in" type: "Input" top: "x" top: "l" input_param { shape { dim: 3 dim: 2 } shape { dim: 3 } } }'
        f'layer {{ type: "InfogainLoss" name: "loss" bottom: "x" bottom: "l" infogain_loss_param {{ source: "{source}" }} }}'
    )
    sessions = {}
    build_graph(net, sessions=sessions)
    source.unlink()
    build_graph(net, sessions=sessions, shapes={"x": (5, 2), "l": (5,)})


def test_a_missing_file(tmp_path):
    layer = make_layer("InfogainLoss", f'infogain_loss_param {{ source: "{tmp_path}/none" }}', bottoms=2)
    with pytest.raises(
        MissingFileError, match=r"layer 'layer' \(InfogainLoss\) at <text>:1:\d+: source '.*none'"
    ):
        layer.infer([(3, 2), (3,)])


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "text").write_text("1 2 3 4")
    layer = make_layer("InfogainLoss", f'infogain_loss_param {{ source: "{tmp_path}/text" }}', bottoms=2)
    with pytest.raises(DataError, match=r"layer 'layer' \(InfogainLoss\) at <text>:1:\d+: source: .*text"):
        layer.infer([(3, 2), (3,)])


# -- what is wrong ---------------------------------------------------------------------------------------------


def test_no_matrix():
    with pytest.raises(
        NetError, match=r"the matrix H, got none\n  Fix: name its file in source, or give it as a"
    ):
        make_layer("InfogainLoss", "", bottoms=2)


def test_normalize_is_refused():
    text = r":1:\d+: expected normalization, since normalize is deprecated, got normalize\n  Fix: write normalization"
    with pytest.raises(NetError, match=text):
        make_layer("InfogainLoss", "loss_param { normalize: true }", bottoms=3)


def test_label_out_of_range():
    with pytest.raises(DataError, match=r"expected labels from 0 to 1 \(2 classes\), got 2 at index 1"):
        loss(labels=[0, 2, 1])


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ([(3, 4), (3,), (3, 4)], "H of 4 by 4 classes, got H=(3, 4)"),
        (
            [(3, 4), (4,), (4, 4)],
            "one label for each of 3 predictions (all axes of x but axis 1), got x=(3, 4), label=(4,)",
        ),
    ],
)
def test_bad_shapes(message, shapes, text):
    assert f"layer 'layer' (InfogainLoss): expected {text}" in message("InfogainLoss", "", shapes)
