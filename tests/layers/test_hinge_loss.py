"""HingeLoss."""

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.testing import check_layer, run_layer


@pytest.mark.parametrize(
    ("norm", "y", "gradient"),
    [("L1", (0.5 + 0 + 3) / 1, [-1, 0, 1]), ("L2", 0.25 + 9, [-1, 0, 6])],
)
def test_worked_example(norm, y, gradient):
    text = f"hinge_loss_param {{ norm: {norm} }}"
    run = run_layer("HingeLoss", text, [[[0.5, -1, 2]], [0]], dy=[1])
    assert run.y[0] == y
    np.testing.assert_array_equal(run.dx[0], [gradient])


@pytest.mark.parametrize("norm", ["L1", "L2"])
@pytest.mark.parametrize("shape", [(4, 5), (3, 2, 2, 1)])
def test_checks(norm, shape):
    classes = int(np.prod(shape[1:]))
    check_layer(
        "HingeLoss",
        f"hinge_loss_param {{ norm: {norm} }}",
        [shape, shape[:1]],
        labels={1: classes},
        low=-2,
        high=2,
    )


def test_label_out_of_range():
    with pytest.raises(DataError, match=r"expected labels from 0 to 1 \(2 classes\), got 5 at index 0"):
        run_layer("HingeLoss", "", [[[0, 0]], [5]])


def test_one_axis(message):
    text = message("HingeLoss", "", [(3,), (3,)])
    assert text == "layer 'layer' (HingeLoss): expected x (N, *S) with at least 2 axes, got x=(3,)"


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_weights(norm):
    text, x, label = f"hinge_loss_param {{ norm: {norm} }}", np.array([[0.5, -2.0], [0.1, 0.2]]), [0, 1]
    items = [run_layer("HingeLoss", text, [x[i : i + 1], label[i : i + 1]], dy=[1]) for i in range(2)]
    run = run_layer("HingeLoss", text, [x, label, [3, 0.5]], dy=[1])
    np.testing.assert_allclose(run.y[0], (3 * items[0].y[0] + 0.5 * items[1].y[0]) / 2)
    np.testing.assert_allclose(run.dx[0], [3 * items[0].dx[0][0] / 2, 0.5 * items[1].dx[0][0] / 2])
    ones, plain = run_layer("HingeLoss", text, [x, label, [1, 1]]), run_layer("HingeLoss", text, [x, label])
    assert ones.y[0] == plain.y[0]


@pytest.mark.parametrize("norm", ["L1", "L2"])
@pytest.mark.parametrize("weight", [(3,), (3, 5)])
def test_checks_of_weights(norm, weight):
    check_layer("HingeLoss", f"hinge_loss_param {{ norm: {norm} }}", [(3, 5), (3,), weight], labels={1: 5})


def test_wrong_number_of_weights(message):
    assert message("HingeLoss", "", [(3, 4), (3,), (4,)]).endswith(
        "expected one weight for each of 12 scores, or for each of 3 items, got weight=(4,)"
    )
