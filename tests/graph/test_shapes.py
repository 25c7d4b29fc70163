"""Shapes: what a user gives, what cannot be, what would take absurd memory."""

from __future__ import annotations

import pytest

from caffelite.errors import ShapeError
from caffelite.types import Phase

CONV = 'layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { %s } }\n'


def image(n: int = 2, c: int = 3, h: int = 5, w: int = 4) -> str:
    return f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: {n} dim: {c} dim: {h} dim: {w} }} }} }}\n'


def test_given_shapes_reach_sources_only(graph) -> None:
    text = image() + CONV % "num_output: 4 kernel_size: 3"
    net = graph(text, shapes={"x": (7, 3, 9, 9), "c": (1, 1, 1, 1)})
    assert (net.blobs["x"].shape, net.blobs["c"].shape) == ((7, 3, 9, 9), (7, 4, 7, 7))


def test_an_empty_batch_is_a_shape(graph) -> None:
    assert graph(image() + CONV % "num_output: 4 kernel_size: 3", shapes={"x": (0, 3, 5, 4)}).blobs[
        "c"
    ].shape == (0, 4, 3, 2)


def test_negative_sizes(refused) -> None:
    assert "expected sizes of at least 0 for 'x', got (2, -3, 5, 4)" in refused(
        image(), shapes={"x": (2, -3, 5, 4)}
    )


def test_kernel_larger_than_the_input(refused) -> None:
    message = refused(image() + CONV % "num_output: 4 kernel_size: 6")
    assert "layer 'c' (Convolution) at net.prototxt:2" in message
    assert "6" in message and "5" in message


def test_pooling_kernel_larger_than_the_input(refused) -> None:
    message = refused(
        image()
        + 'layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_size: 9 stride: 2 round_mode: FLOOR } }'
    )
    assert "layer 'p' (Pooling)" in message and "kernel (9, 9)" in message


@pytest.mark.parametrize("dims", ["dim: 0 dim: 3", "dim: 2 dim: -3"])
def test_sizes_in_the_prototxt_start_at_one(refused, dims: str) -> None:
    assert "expected sizes >= 1" in refused(
        f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}'
    )


def test_a_blob_of_absurd_size(refused) -> None:
    message = refused(image(n=300000, c=3, h=1000, w=1000))
    assert (
        "expected at most 2147483647 elements in 'x', got shape (300000, 3, 1000, 1000), which is 3,353 GiB in float32"
        in message
    )


def test_a_param_of_absurd_size(refused) -> None:
    text = image(1, 512, 100, 100) + (
        'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" inner_product_param { num_output: 40960 } }'
    )
    assert "elements in 'W', got shape (40960, 5120000)" in refused(text)


def test_the_largest_blob_that_caffe_has(graph, refused) -> None:
    text = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: %d } } }'
    assert graph(text % (2**31 - 1)).blobs["x"].shape == (2**31 - 1,)
    assert "2147483648" in refused(text % 2**31)


@pytest.mark.parametrize(
    ("type_", "extra"),
    [
        ("Flatten", ""),
        ("InnerProduct", "inner_product_param { num_output: 7 }"),
        ("Convolution", "convolution_param { num_output: 3 kernel_size: 3 }"),
        ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }"),
    ],
)
def test_in_place_keeps_the_shape(graph, type_: str, extra: str) -> None:
    with pytest.raises(ShapeError, match="a top of the bottom's shape to overwrite 'x' in place") as caught:
        graph(image() + f'layer {{ name: "l" type: "{type_}" bottom: "x" top: "x" {extra} }}')
    assert 'top: "l"' in str(caught.value)


def test_a_broken_layer_hides_its_readers(refused) -> None:
    message = refused(
        image()
        + CONV % "num_output: 4 kernel_size: 6"
        + 'layer { name: "r" type: "ReLU" bottom: "c" top: "r" }'
    )
    assert "'r'" not in message


def test_a_broken_in_place_layer_hides_its_readers(refused) -> None:
    message = refused(
        image()
        + 'layer { name: "b" type: "Scale" bottom: "x" top: "x" scale_param { axis: 9 } }\n'
        + 'layer { name: "r" type: "ReLU" bottom: "x" top: "r" }\n'
        + 'layer { name: "s" type: "ReLU" bottom: "r" top: "s" }\n'
    )
    assert message.count("layer '") == 1


def test_phase_reaches_the_layers(graph) -> None:
    text = image() + 'layer { name: "d" type: "Dropout" bottom: "x" top: "d" }'
    assert [len(graph(text, phase).nodes[1].layer.saved) for phase in (Phase.TRAIN, Phase.TEST)] == [1, 0]
