"""A graph with other shapes is the one that its messages give with these shapes."""

import pytest

from caffelite.errors import CaffeliteError
from caffelite.graph.build import build_graph
from caffelite.graph.reshaped import reshaped
from caffelite.prototxt.source import parse_net

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "l" type: "Input" top: "l" input_param { shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c" param { name: "W" } param { lr_mult: 0 }
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "again" type: "Convolution" bottom: "c" top: "d" param { name: "W" }
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 } }
layer { name: "pool" type: "Pooling" bottom: "c" top: "p" pooling_param { global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "p" top: "f" inner_product_param { num_output: 4 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "l" }
layer { name: "sum" type: "Reduction" bottom: "d" top: "s" loss_weight: 0.5 }
"""


def graph_of(shapes, text=NET):
    return build_graph(parse_net(text), 0, shapes=shapes)


@pytest.mark.parametrize(
    "shapes", [{"x": (2, 3, 5, 9)}, {"x": (4, 3, 8, 8), "l": (4,)}, {"x": (0, 3, 8, 8), "l": (0,)}, {}]
)
def test_it_is_what_the_messages_give(shapes):
    start = graph_of({})
    assert str(reshaped(start, shapes)) == str(graph_of(shapes))
    assert str(start) == str(graph_of({}))


def test_layers_that_see_the_same_shapes_stay():
    start = graph_of({})
    other = reshaped(start, {"x": (2, 3, 5, 9)})
    same = {a.name for a, b in zip(start.nodes, other.nodes, strict=True) if a.layer is b.layer}
    assert {"fc", "loss"} <= same and not {"x", "conv", "relu", "pool"} & same
    assert all(value.producer in other.nodes for value in other.values)


def test_parameters_that_would_change_their_shape_need_the_messages():
    assert reshaped(graph_of({}), {"x": (2, 4, 8, 8)}) is None


def test_shapes_that_do_not_fit_are_refused_as_ever():
    with pytest.raises(CaffeliteError):
        reshaped(graph_of({}), {"l": (5,)})
