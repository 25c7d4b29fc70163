"""ContrastiveLoss."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


def param(fields):
    return f"contrastive_loss_param {{ {fields} }}"


X, ZERO = [[3.0, 4], [3, 4], [0.3, 0.4], [0.3, 0.4]], np.zeros((4, 2))  # distances 5, 5, 0.5, 0.5
SIMILAR = [1, 0, -1, 0.9]  # similar, not, similar, not


def test_worked_example():
    run = run_layer("ContrastiveLoss", param("margin: 2"), [X, ZERO, SIMILAR], dy=[4])
    np.testing.assert_allclose(run.y[0], (25 + 0 + 0.25 + 1.5**2) / 8)
    slope = -1.5 / 0.5001
    np.testing.assert_allclose(run.dx[0], [[3, 4], [0, 0], [0.3, 0.4], [0.3 * slope, 0.4 * slope]])
    np.testing.assert_array_equal(run.dx[1], -run.dx[0])
    assert run.dx[2] is None


def test_worked_legacy_example():
    run = run_layer("ContrastiveLoss", param("margin: 2 legacy_version: true"), [X, ZERO, SIMILAR], dy=[4])
    np.testing.assert_allclose(run.y[0], (25 + 0 + 0.25 + 1.75) / 8)
    np.testing.assert_allclose(run.dx[0], [[3, 4], [0, 0], [0.3, 0.4], [-0.3, -0.4]])


def test_equal_items_have_no_gradient():
    for fields in ("", "legacy_version: true"):
        run = run_layer("ContrastiveLoss", param(fields), [ZERO, ZERO, ZERO[:, 0]], dy=[1])
        assert not run.dx[0].any() and not run.dx[1].any()
        assert run.y[0] == 0.5


def test_checks():
    shapes, labels = [(5, 3), (5, 3, 1, 1), (5, 1, 1, 1)], {2: 2}
    check_layer("ContrastiveLoss", param("margin: 1.3 legacy_version: true"), shapes, labels=labels)
    # At such distances the 1e-4 in Caffe's gradient does not show.
    check_layer("ContrastiveLoss", param("margin: 9000"), shapes, labels=labels, low=-4000, high=4000)
    check_layer(
        "ContrastiveLoss", param("legacy_version: true"), [(2, 3, 2, 4), (2, 3, 2, 4), (2,)], labels=labels
    )


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        (
            [(3, 2), (3, 3), (3,)],
            "x and other with as many items of as many elements, got x=(3, 2), other=(3, 3)",
        ),
        (
            [(3, 2), (2, 2), (3,)],
            "x and other with as many items of as many elements, got x=(3, 2), other=(2, 2)",
        ),
        ([(3, 2), (3, 2), (2,)], "one number for each of 3 pairs, got similar=(2,)"),
    ],
)
def test_bad_shapes(message, shapes, text):
    assert message("ContrastiveLoss", "", shapes) == f"layer 'layer' (ContrastiveLoss): expected {text}"
