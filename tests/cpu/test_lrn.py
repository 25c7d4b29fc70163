"""LRN through oneDNN."""

from __future__ import annotations

import pytest

from caffelite.plan.kernel import CHANNELS_LAST


def fields(text):
    return f"lrn_param {{ {text} }}"


@pytest.mark.parametrize(
    "text", ["local_size: 5 alpha: 0.5 beta: 0.75", "local_size: 3 alpha: 1 beta: 1 k: 2"]
)
@pytest.mark.parametrize("channels", [1, 3, 5, 16, 17, 20, 33])
def test_across_channels(agrees, text, channels):
    agrees("LRN", fields(text), (2, channels, 5, 4), layouts=(CHANNELS_LAST,))


def test_within_a_channel(agrees):
    text = "local_size: 3 alpha: 1 beta: 0.75 norm_region: WITHIN_CHANNEL"
    agrees("LRN", fields(text), (2, 16, 5, 6), layouts=(CHANNELS_LAST,))


@pytest.mark.parametrize("size", [1, 7, 9])
def test_windows_that_onednn_gets_wrong_are_left_to_the_array_body(objections, size):
    for objection in objections("LRN", fields(f"local_size: {size}"), (2, 20, 5, 4)):
        assert objection == "oneDNN's gradient is wrong for this local_size"


def test_slow_loops_are_left_to_the_array_body(objections):
    for objection in objections("LRN", fields("local_size: 5 beta: 0.3"), (2, 20, 5, 4)):
        assert objection == "oneDNN has only reference loops for it"
