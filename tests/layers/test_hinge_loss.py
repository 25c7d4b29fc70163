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
