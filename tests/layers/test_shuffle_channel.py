"""ShuffleChannel."""

import numpy as np
import pytest

from caffelite.testing import check_layer, run_layer


def test_worked_example():
    x = np.arange(6.0).reshape(1, 6)
    run = run_layer("ShuffleChannel", "shuffle_channel_param { group: 3 }", [x], dy=[x])
    np.testing.assert_array_equal(run.y[0], [[0, 2, 4, 1, 3, 5]])
    np.testing.assert_array_equal(run.dx[0][:, [0, 2, 4, 1, 3, 5]], x)


@pytest.mark.parametrize(
    ("group", "shape"), [(1, (2, 3, 4, 5)), (2, (2, 6, 3, 4)), (3, (2, 6)), (6, (1, 6, 2))]
)
def test_transposes_groups_and_their_channels(group, shape):
    x = np.random.default_rng(1).random(shape)
    run = run_layer("ShuffleChannel", f"shuffle_channel_param {{ group: {group} }}", [x])
    grouped = x.reshape(shape[0], group, shape[1] // group, -1).swapaxes(1, 2)
    np.testing.assert_array_equal(run.y[0], grouped.reshape(shape))


@pytest.mark.parametrize("group", [1, 2, 3])
def test_checks(group):
    check_layer("ShuffleChannel", f"shuffle_channel_param {{ group: {group} }}", [(2, 6, 3, 4)])


def test_bad_groups(message):
    assert message("ShuffleChannel", "shuffle_channel_param { group: 0 }").endswith(
        "expected group >= 1, got 0"
    )
    assert message("ShuffleChannel", "shuffle_channel_param { group: 2 }") == (
        "layer 'layer' (ShuffleChannel): expected x (N, C, *S) with C in multiples of group 2, got x=(2, 3, 5, 4)"
    )
