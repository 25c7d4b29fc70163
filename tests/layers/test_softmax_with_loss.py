"""SoftmaxWithLoss."""

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.testing import check_layer, run_layer

SCORES = np.log([[1.0, 3.0], [3.0, 1.0], [1.0, 1.0]])  # p = (1/4, 3/4), (3/4, 1/4), (1/2, 1/2)
CHANNELS = "'x0' has 2 channels (axis 1) and needs one a class: the layer below should have"


def loss(fields="", labels=(1, 0, 1), **more):
    return run_layer("SoftmaxWithLoss", f"loss_param {{ {fields} }}", [SCORES, labels], **more)


def test_worked_example():
    run = loss(dy=[3.0])
    np.testing.assert_allclose(run.y[0], -np.log(0.75 * 0.75 * 0.5) / 3)
    np.testing.assert_allclose(run.dx[0], [[0.25, -0.25], [-0.25, 0.25], [0.5, -0.5]])


@pytest.mark.parametrize(
    ("fields", "divisor"),
    [
        ("", 3),
        ("ignore_label: 0", 2),
        ("normalization: FULL ignore_label: 0", 3),
        ("normalization: BATCH_SIZE", 3),
        ("normalization: NONE", 1),
        ("normalize: true ignore_label: 0", 2),
        ("normalize: false ignore_label: 0", 3),
        ("normalize: false normalization: NONE", 1),
    ],
)
def test_divisors(fields, divisor):
    kept = 0.75 * 0.5 * (1 if "ignore" in fields else 0.75)
    np.testing.assert_allclose(loss(fields).y[0], -np.log(kept) / divisor)


def test_all_ignored_is_zero():
    run = loss("ignore_label: 9", labels=(9, 9, 9), dy=[1.0])
    assert run.y[0] == 0
    assert not run.dx[0].any()


def test_cap_and_cut():
    run = run_layer("SoftmaxWithLoss", "", [[[0.0, 1000.0]], [0.9]])  # 0.9 is label 0
    np.testing.assert_allclose(run.y[0], 87.33654, rtol=1e-6)


def test_second_top_holds_the_probabilities():
    run = loss(tops=2)
    np.testing.assert_allclose(run.y[1], [[0.25, 0.75], [0.75, 0.25], [0.5, 0.5]])


@pytest.mark.parametrize("normalization", ["VALID", "FULL", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize("tops", [1, 2])
def test_checks(normalization, tops):
    text = f"loss_param {{ ignore_label: 1 normalization: {normalization} }}"
    check_layer("SoftmaxWithLoss", text, [(3, 4), (3,)], labels={1: 4}, tops=tops)


def test_checks_places():
    check_layer("SoftmaxWithLoss", "", [(2, 4, 3, 5), (2, 1, 3, 5)], labels={1: 4})
    check_layer("SoftmaxWithLoss", "softmax_param { axis: 2 }", [(2, 3, 4), (2, 3)], labels={1: 4})
    check_layer("SoftmaxWithLoss", "softmax_param { axis: -1 }", [(2, 3, 4), (6,)], labels={1: 4})


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (
            2,
            f"got 2 at index 1\n  Fix: {CHANNELS} num_output of at least 3, or the classes be numbered from 0",
        ),
        (-2, "got -2 at index 1"),
        (-1, "got -1 at index 1\n  Fix: where -1 means no class at all: loss_param { ignore_label: -1 }"),
        (255, "got 255 at index 1\n  Fix: where 255 means no class at all: loss_param { ignore_label: 255 }"),
        (float("nan"), "got nan at index 1"),
    ],
)
def test_label_out_of_range(label, text):
    with pytest.raises(DataError) as caught:
        loss(labels=(1, label, 0))
    before, after = str(caught.value).split(": ", 1)
    assert before.startswith("layer 'layer' (SoftmaxWithLoss) at <text>:1:1")
    assert after == f"expected labels from 0 to 1 (2 classes), {text}"


def test_labels_out_of_range_tell_the_largest_one():
    with pytest.raises(DataError) as caught:
        loss(labels=(-1, 2, 7))
    after = str(caught.value).split("classes), ", 1)[1]
    assert after == (
        "got -1 at index 0; the largest label of the batch is 7\n  Fix: where -1 means no class at all: loss_param "
        f"{{ ignore_label: -1 }}; {CHANNELS} num_output of at least 8, or the classes be numbered from 0"
    )


def test_label_out_of_range_with_ignore_label():
    with pytest.raises(
        DataError, match=r"expected labels from 0 to 1 \(2 classes\) or ignore_label 255, got 7 at index 0"
    ):
        loss("ignore_label: 255", labels=(7, 255, 0))


def test_wrong_number_of_labels(message):
    assert message("SoftmaxWithLoss", "", [(3, 4), (3, 4)]) == (
        "layer 'layer' (SoftmaxWithLoss): expected one label for each of 3 predictions (all axes of x but axis 1), "
        "got x=(3, 4), label=(3, 4)\n  Fix: labels are class numbers, (N,) or (N, 1, H, W), not one-hot vectors"
    )


@pytest.mark.parametrize(
    ("fields", "labels", "cut"),
    [("", (-0.5, 0, 1), (0, 0, 1)), ("ignore_label: 0", (1, 0.7, 0.2), (1, 0, 0))],
)
def test_labels_are_cut_before_they_are_judged(fields, labels, cut):
    assert loss(fields, labels).y[0] == loss(fields, cut).y[0]


# -- weights ---------------------------------------------------------------------------------------------------

LOSSES = -np.log([0.75, 0.75, 0.5])  # of labels 1, 0, 1
WEIGHTS = "class_weighting: 2 class_weighting: 10"


@pytest.mark.parametrize(
    ("fields", "weights"),
    [
        (WEIGHTS, [10, 2, 10]),
        (f"{WEIGHTS} weight_by_label_freqs: true", [10, 2, 10]),  # as SegNet's prototxts say it
        (f"{WEIGHTS} weight_by_label_freqs: false", [1, 1, 1]),
        ("weight_by_label_freqs: true", [1 / 2, 1, 1 / 2]),  # SegNet's first form
    ],
)
@pytest.mark.parametrize(("normalization", "divisor"), [("VALID", 3), ("NONE", 1)])
def test_class_weights(fields, weights, normalization, divisor):
    run = loss(f"{fields} normalization: {normalization}", dy=[1])
    plain = loss("normalization: NONE", dy=[1])
    np.testing.assert_allclose(run.y[0], (weights * LOSSES).sum() / divisor)
    np.testing.assert_allclose(run.dx[0], plain.dx[0] * np.reshape(weights, (3, 1)) / divisor)


@pytest.mark.parametrize(
    ("fields", "weights"), [("weight_by_label_freqs: true", [1, 1, 1]), (WEIGHTS, [10, 2, 10])]
)
def test_class_weights_and_ignored_labels(fields, weights):
    run = loss(f"{fields} ignore_label: 255", labels=(1, 0, 255), dy=[1])
    np.testing.assert_allclose(run.y[0], (weights * LOSSES)[:2].sum() / 2)
    assert not run.dx[0][2].any()
    assert loss(f"{fields} ignore_label: 255", labels=(255,) * 3).y[0] == 0


@pytest.mark.parametrize("normalization", ["VALID", "FULL", "BATCH_SIZE", "NONE"])
def test_weights_of_one_change_nothing(normalization):
    fields = f"normalization: {normalization} ignore_label: 0"
    plain = loss(fields, dy=[1])
    weighted = run_layer(
        "SoftmaxWithLoss",
        f"loss_param {{ {fields} class_weighting: 1 class_weighting: 1 }}",
        [SCORES, [1, 0, 1], [1, 1, 1]],
        dy=[1],
    )
    assert weighted.y[0] == plain.y[0]
    np.testing.assert_array_equal(weighted.dx[0], plain.dx[0])


def test_a_weight_for_each_label():
    weights = np.array([3, 0, -1])
    run = run_layer("SoftmaxWithLoss", "", [SCORES, [1, 0, 1], weights], dy=[3])
    np.testing.assert_allclose(run.y[0], (weights * LOSSES).sum() / 3)  # 0 counts: 3 labels, not 2
    np.testing.assert_allclose(run.dx[0], weights[:, None] * loss(dy=[3]).dx[0])
    assert run.dx[2] is None
    both = run_layer("SoftmaxWithLoss", f"loss_param {{ {WEIGHTS} }}", [SCORES, [1, 0, 1], weights])
    np.testing.assert_allclose(both.y[0], (weights * [10, 2, 10] * LOSSES).sum() / 3)


def test_a_weight_for_each_item_holds_for_all_its_places():
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(2, 3, 4, 5)), rng.integers(0, 3, (2, 1, 4, 5))
    item = run_layer("SoftmaxWithLoss", "", [x, label, [2, 7]], dy=[1])
    place = run_layer(
        "SoftmaxWithLoss", "", [x, label, np.broadcast_to([[[[2]]], [[[7]]]], label.shape)], dy=[1]
    )
    np.testing.assert_allclose(item.y[0], place.y[0])
    np.testing.assert_allclose(item.dx[0], place.dx[0])


@pytest.mark.parametrize("fields", ["", "weight_by_label_freqs: true", "class_weighting: [1, 2, 0, 0.5]"])
def test_checks_of_weights(fields):
    text = f"loss_param {{ ignore_label: 1 {fields} }}"
    check_layer("SoftmaxWithLoss", text, [(3, 4), (3,), (3,)], labels={1: 4})
    check_layer("SoftmaxWithLoss", text, [(2, 4, 3, 5), (2, 1, 3, 5), (2, 1, 3, 5)], labels={1: 4}, tops=2)
    check_layer(
        "SoftmaxWithLoss", text + "softmax_param { axis: -1 }", [(2, 3, 4), (6,), (2,)], labels={1: 4}
    )


@pytest.mark.parametrize(
    ("fields", "shapes", "text"),
    [
        ("class_weighting: 1", [(3, 4), (3,)], "one class_weighting for each of 4 classes, got 1"),
        ("class_weighting: -1", [(3, 1), (3,)], "class_weighting >= 0, got -1"),
        ("class_weighting: nan", [(3, 1), (3,)], "class_weighting >= 0, got nan"),
        (
            "",
            [(3, 4, 2), (3, 2), (3, 4, 2)],
            "one weight for each of 6 labels, or for each of 3 items, got weight=(3, 4, 2)",
        ),
    ],
)
def test_bad_weights(message, fields, shapes, text):
    got = message("SoftmaxWithLoss", f"loss_param {{ {fields} }}", shapes)
    assert got == f"layer 'layer' (SoftmaxWithLoss): expected {text}"


NET = """
layer { name: "in" type: "Input" top: "x" top: "label" top: "weight" input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } shape { dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" %s top: "loss" }
"""


@pytest.mark.parametrize("observe", [True, False])
def test_training_with_weights_is_training_on_the_items_of_weight_one(observe):
    """An item of weight 0 counts for nothing but the divisor."""
    grads = []
    for third, fields in (
        ('bottom: "weight"', ""),
        ("", "loss_param { ignore_label: 4 normalization: FULL }"),
    ):
        net = Model(parse_net(NET % f"{third} {fields}"), 0, seed=1, observe=observe)
        net.input("x")[...] = np.arange(12).reshape(4, 3) / 12
        net.input("label")[...], net.input("weight")[...] = [0, 4, 2, 3], [1, 0, 1, 1]
        net.forward()
        net.clear_grads()
        net.backward()
        grads.append(net.params["ip"][0].grad.copy())
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-5)
