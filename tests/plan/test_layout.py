"""Channels-last where it pays: not for inputs, nor where both orders are one."""

from __future__ import annotations

import pytest

from caffelite.graph.build import build_graph
from caffelite.plan.kernel import CHANNELS_LAST, PLAIN, Operand
from caffelite.plan.layout import choose_layouts, is_view
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }\n'


def conv(outputs: int = 5, kernel: int = 3) -> str:
    return f'layer {{ name: "conv" type: "Convolution" bottom: "x" top: "y" convolution_param {{ num_output: {outputs} kernel_size: {kernel} }} }}\n'


def layouts(text: str, channels_last: bool = True) -> dict[str, str]:
    graph = build_graph(parse_net(INPUT + text), Phase.TRAIN)
    return {str(value): layout for value, layout in choose_layouts(graph, channels_last).items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (conv(), {"x@0": PLAIN, "y@0": CHANNELS_LAST}),
        (conv(outputs=1), {"x@0": PLAIN, "y@0": PLAIN}),
        (conv(kernel=4), {"x@0": PLAIN, "y@0": PLAIN}),
        ('layer { name: "r" type: "ReLU" bottom: "x" top: "x" }', {"x@0": PLAIN, "x@1": PLAIN}),
        (
            conv() + 'layer { name: "r" type: "ReLU" bottom: "y" top: "y" }',
            {"x@0": PLAIN, "y@0": CHANNELS_LAST, "y@1": CHANNELS_LAST},
        ),
        ('layer { name: "f" type: "Flatten" bottom: "x" top: "f" }', {"x@0": PLAIN, "f@0": PLAIN}),
        (
            'layer { name: "r" type: "Reshape" bottom: "x" top: "r" reshape_param { shape { dim: 0 dim: 0 dim: 2 dim: 8 } } }',
            {"x@0": PLAIN, "r@0": PLAIN},
        ),
        (
            conv()
            + 'layer { name: "r" type: "Reshape" bottom: "y" top: "r" reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 2 } } }',
            {"x@0": PLAIN, "y@0": CHANNELS_LAST, "r@0": CHANNELS_LAST},
        ),
    ],
)
def test_layouts(text: str, expected: dict[str, str]) -> None:
    assert layouts(text) == expected


def test_an_engine_may_want_none() -> None:
    assert set(layouts(conv(), channels_last=False).values()) == {PLAIN}


@pytest.mark.parametrize(
    ("text", "views"),
    [
        ('layer { name: "f" type: "Flatten" bottom: "x" top: "f" }', ["f"]),
        (
            conv() + 'layer { name: "f" type: "Flatten" bottom: "y" top: "f" }',
            [],
        ),  # elements would be in another order
        (conv(1) + 'layer { name: "f" type: "Flatten" bottom: "y" top: "f" }', ["f"]),
        (conv() + 'layer { name: "s" type: "Split" bottom: "y" top: "a" top: "b" }', ["s"]),
        (
            conv()
            + 'layer { name: "r" type: "Reshape" bottom: "y" top: "r" reshape_param { shape { dim: 0 } num_axes: 1 } }',
            ["r"],
        ),
        (conv() + 'layer { name: "r" type: "ReLU" bottom: "y" top: "r" }', []),
    ],
)
def test_views(text: str, views: list[str]) -> None:
    graph = build_graph(parse_net(INPUT + text), Phase.TRAIN)
    found = choose_layouts(graph, True)
    assert [node.name for node in graph.nodes if is_view(node, found)] == views


def test_strides_of_an_operand() -> None:
    assert Operand((2, 3, 4, 5)).strides == (60, 20, 5, 1)
    assert Operand((2, 3, 4, 5), CHANNELS_LAST).strides == (60, 1, 15, 3)
    assert Operand((), dtype="float64").nbytes == 8
    assert Operand((2, 3, 4, 5), CHANNELS_LAST, "uint8").nbytes == 120
