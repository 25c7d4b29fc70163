"""Splits: Caffe's names, Caffe's order, and loss weights that move to them."""

from __future__ import annotations

import pytest

from caffelite.types import Phase

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'


def relu(name: str, bottom: str, top: str | None = None, extra: str = "") -> str:
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{top or name}" {extra} }}\n'


def wiring(graph) -> dict[str, tuple[list[str], list[str]]]:
    return {n.name: ([str(v) for v in n.bottoms], [str(v) for v in n.tops]) for n in graph.nodes}


def test_one_reader_needs_no_split(graph) -> None:
    assert [n.name for n in graph(INPUT + relu("a", "x") + relu("b", "a")).nodes] == ["in", "a", "b"]


def test_names_and_place(graph) -> None:
    net = graph(INPUT + relu("a", "x") + relu("b", "a") + relu("c", "a") + relu("d", "a"))
    assert [n.name for n in net.nodes] == ["in", "a", "a_a_0_split", "b", "c", "d"]
    assert wiring(net)["a_a_0_split"] == (["a@0"], ["a_a_0_split_0@0", "a_a_0_split_1@0", "a_a_0_split_2@0"])
    assert wiring(net)["d"] == (["a_a_0_split_2@0"], ["d@0"])
    assert net.blobs["a_a_0_split_1"].shape == (2, 3)


def test_second_top_is_counted_from_zero(graph) -> None:
    text = (
        INPUT
        + 'layer { name: "s" type: "Slice" bottom: "x" top: "p" top: "q" slice_param { slice_point: 1 } }'
    )
    net = graph(text + relu("a", "q") + relu("b", "q"))
    assert "q_s_1_split" in wiring(net)


def test_inplace_chain_counts_from_its_last_writer(graph) -> None:
    net = graph(INPUT + relu("a", "x", "x") + relu("b", "x") + relu("c", "x"))
    assert wiring(net)["x_a_0_split"] == (["x@1"], ["x_a_0_split_0@0", "x_a_0_split_1@0"])


def test_one_layer_reading_twice(graph) -> None:
    net = graph(INPUT + 'layer { name: "e" type: "Eltwise" bottom: "x" bottom: "x" top: "e" }')
    assert wiring(net)["e"][0] == ["x_in_0_split_0@0", "x_in_0_split_1@0"]


def test_explicit_split_layers_are_left_alone(graph) -> None:
    """A net read back from a caffemodel has its splits already."""
    text = (
        INPUT
        + 'layer { name: "x_in_0_split" type: "Split" bottom: "x" top: "x_in_0_split_0" top: "x_in_0_split_1" }'
    )
    net = graph(text + relu("a", "x_in_0_split_0") + relu("b", "x_in_0_split_1"))
    assert [n.name for n in net.nodes] == ["in", "x_in_0_split", "a", "b"]


def test_explicit_loss_weight_moves(graph) -> None:
    net = graph(INPUT + relu("a", "x", extra="loss_weight: 2.5") + relu("b", "a"))
    assert wiring(net)["a_a_0_split"][1] == ["a_a_0_split_0@0", "a_a_0_split_1@0"]
    assert wiring(net)["b"][0] == ["a_a_0_split_1@0"]  # the objective is the first reader
    weights = {str(v): v.loss_weight for v in net.values}
    assert weights["a@0"] == 0
    assert (weights["a_a_0_split_0@0"], weights["a_a_0_split_1@0"]) == (2.5, 0)
    assert net.outputs == ["a_a_0_split_0", "b"]


def test_loss_weight_without_reader_stays(graph) -> None:
    net = graph(INPUT + relu("a", "x", extra="loss_weight: 2.5"))
    assert net.blobs["a"].loss_weight == 2.5
    assert len(net.nodes) == 2


def test_weights_of_the_other_tops_stay(graph) -> None:
    text = (
        INPUT
        + 'layer { name: "s" type: "Slice" bottom: "x" top: "p" top: "q" slice_param { slice_point: 1 } loss_weight: 2 loss_weight: 3 }'
    )
    net = graph(text + relu("a", "p"))
    weights = {v.name: v.loss_weight for v in net.values if v.loss_weight}
    assert weights == {"p_s_0_split_0": 2, "q": 3}


LOSS = 'layer { name: "in2" type: "Input" top: "t" input_param { shape { dim: 2 dim: 3 } } }\nlayer { name: "l" type: "EuclideanLoss" bottom: "x" bottom: "t" top: "l" %s }\n'


@pytest.mark.parametrize(("given", "weight"), [("", 1.0), ("loss_weight: 4", 4.0)])
def test_a_loss_that_is_read_counts_once(graph, given: str, weight: float) -> None:
    """Caffe counts such a loss twice if it has a loss_weight, and drops its gradient if it has none."""
    net = graph(INPUT + LOSS % given + relu("a", "l"))
    weights = {v.name: v.loss_weight for v in net.values if v.loss_weight}
    assert weights == {"l_l_0_split_0": weight}


def test_a_loss_with_weight_zero_is_like_any_top(graph) -> None:
    net = graph(INPUT + LOSS % "loss_weight: 0" + relu("a", "l"))
    assert [v.name for v in net.values if v.loss_weight] == []
    assert "l_l_0_split" not in wiring(net)


def test_blobs_are_split_per_phase(graph) -> None:
    """A reader that the phase leaves out counts not."""
    text = INPUT + relu("a", "x") + relu("b", "a") + relu("c", "a", extra="include { phase: TEST }")
    assert "a_a_0_split" not in wiring(graph(text, Phase.TRAIN))
    assert "a_a_0_split" in wiring(graph(text, Phase.TEST))
