"""What somebody probably meant."""

from __future__ import annotations

import pytest

from caffelite.prototxt.suggest import did_you_mean, suggestion

TYPES = ["Concat", "Convolution", "Deconvolution", "InnerProduct", "Pooling", "ReLU", "ROIPooling", "Softmax"]
ALIASES = {"conv": "Convolution", "fc": "InnerProduct", "dense": "InnerProduct", "gone": "NotThere"}


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("relu", "ReLU"),
        ("RELU", "ReLU"),
        ("RoiPooling", "ROIPooling"),
        ("inner_product", "InnerProduct"),
        ("convolution", "Convolution"),
        ("Conv", "Convolution"),
        ("FC", "InnerProduct"),
        ("Convolutoin", "Convolution"),
        ("Pooing", "Pooling"),
        ("Sofmax", "Softmax"),
        ("gone", None),
        ("xyz", None),
        ("", None),
        ("ReLU", None),
    ],
)
def test_layer_types(word, meant):
    assert did_you_mean(word, TYPES, ALIASES) == meant


def test_few_errors_are_forgiven_in_short_words():
    assert did_you_mean("ip", ["op", "it"]) is None
    assert did_you_mean("pol", ["pool", "pull"]) == "pool"
    assert did_you_mean("min", ["max"]) is None


def test_of_equally_near_names_the_first_wins():
    assert did_you_mean("conv3", ["conv1", "conv2"]) == "conv1"


def test_swapped_letters_are_one_error():
    assert did_you_mean("ckeh", ["keh", "ckhe"]) == "keh"
    assert did_you_mean("tpo", ["top"]) == "top"


def test_the_words_behind_a_message():
    assert suggestion("num_ouput", ["num_output"]) == "; did you mean 'num_output'?"
    assert suggestion("shoe_size", ["num_output"]) == ""
