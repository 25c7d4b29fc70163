"""SegAccuracy."""

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.testing import check_layer, run_layer


def scored(x, label, ignored=()):
    """DeepLab's loops."""
    classes = x.shape[1]
    counts = np.zeros((classes, classes))
    for n, _, i, j in np.ndindex(*label.shape):
        truth = int(label[n, 0, i, j])
        if truth not in ignored:
            counts[truth, max(range(classes), key=lambda c: (x[n, c, i, j], c))] += 1
    recalls = [counts[c, c] / counts[c].sum() for c in range(classes) if counts[c].any()]
    unions = [counts[c].sum() + counts[:, c].sum() - counts[c, c] for c in range(classes)]
    jaccards = [counts[c, c] / unions[c] if unions[c] else 1 for c in range(classes)]
    return [np.trace(counts) / counts.sum(), np.mean(recalls), np.mean(jaccards)]


@pytest.mark.parametrize("ignored", [(), (255,), (0, 255)])
def test_against_loops(ignored):
    rng = np.random.default_rng(1)
    x = rng.integers(0, 3, (2, 5, 4, 6)).astype(float)  # with ties
    label = rng.integers(0, 4, (2, 1, 4, 6)).astype(float)  # class 4 does not occur
    label[0, 0, 0, :2] = 255 if 255 in ignored else 0
    text = "".join(f"ignore_label: {value} " for value in ignored)
    run = run_layer("SegAccuracy", f"seg_accuracy_param {{ {text} }}", [x, label])
    np.testing.assert_allclose(run.y[0].ravel(), scored(x, label, ignored))


def test_counts_go_on_without_reset():
    text = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ dim: 1 dim: {c} dim: 1 dim: 2 }} }} }}\n'
        for name, c in (("x", 2), ("label", 1))
    )
    text += 'layer { name: "a" type: "SegAccuracy" bottom: "x" bottom: "label" top: "a" seg_accuracy_param { reset: false } }\n'
    net = Model(parse_net(text), engine="reference")
    net.input("x")[...] = [[[[1, 0]], [[0, 1]]]]
    for labels, accuracy in (([0, 1], 1), ([1, 0], 0.5)):
        net.input("label")[...] = labels
        net.forward()
        assert net.blob("a").ravel()[0] == accuracy


def test_nothing_but_ignored_labels():
    run = run_layer(
        "SegAccuracy", "seg_accuracy_param { ignore_label: 7 }", [np.ones((1, 2, 1, 1)), [[[[7]]]]]
    )
    assert run.y[0].ravel().tolist() == [0, 0, 1]


def test_checks():
    check_layer("SegAccuracy", "", [(2, 3, 4, 5), (2, 1, 4, 5)], labels={1: 3})


def test_a_label_that_is_no_class():
    with pytest.raises(
        DataError, match=r"expected labels from 0 to 1 \(2 classes\) or an ignore_label, got 3 at index 0"
    ):
        run_layer("SegAccuracy", "", [np.ones((1, 2, 1, 1)), [[[[3]]]]])


def test_bad_shapes(message):
    assert "got x=(2, 3, 4, 5), label=(2, 4, 5)" in message("SegAccuracy", "", [(2, 3, 4, 5), (2, 4, 5)])
