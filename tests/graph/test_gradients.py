"""Who runs backward, and which gradients are written, against the passes of ``Net::Init`` in BVLC Caffe."""

from __future__ import annotations

import random

import pytest

from caffelite.graph.graph import Graph
from caffelite.layers.base import has_backward

INPUT = 'layer { name: "in" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 4 } } }\n'
LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "%s" bottom: "t" top: "loss" %s }\n'


def fc(name: str, bottom: str, params: str = "", extra: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" '
        f"inner_product_param {{ num_output: 4 }} {params} {extra} }}\n"
    )


def relu(name: str, bottom: str, top: str | None = None, extra: str = "") -> str:
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{top or name}" {extra} }}\n'


def backward(net: Graph) -> dict[str, tuple[bool, ...]]:
    """The layers that run backward, with the bottoms whose gradient they write."""
    return {node.name: node.propagate for node in net.nodes if node.backward}


def test_nothing_is_asked_below_the_first_params(graph) -> None:
    net = graph(INPUT + relu("r", "x") + fc("a", "r") + relu("s", "a") + LOSS % ("s", ""))
    assert backward(net) == {"a": (False,), "s": (True,), "loss": (True, False)}


def test_no_loss_no_gradient(graph) -> None:
    assert backward(graph(INPUT + fc("a", "x") + fc("b", "a"))) == {}


def test_layers_beside_the_loss_are_off(graph) -> None:
    net = graph(INPUT + fc("a", "x") + fc("b", "a") + fc("side", "a") + LOSS % ("b", ""))
    assert backward(net) == {"a": (False,), "a_a_0_split": (True,), "b": (True,), "loss": (True, False)}


def test_frozen_params_stop_the_gradient(graph) -> None:
    frozen = "param { lr_mult: 0 } param { lr_mult: 0 }"
    net = graph(INPUT + fc("a", "x", frozen) + fc("b", "a") + fc("c", "b", frozen) + LOSS % ("c", ""))
    assert backward(net) == {"b": (False,), "c": (True,), "loss": (True, False)}
    assert [use.learn for use in net.params] == [False, False, True, True, False, False]


def test_one_frozen_param(graph) -> None:
    net = graph(INPUT + fc("a", "x", "param { lr_mult: 0 }") + LOSS % ("a", ""))
    assert [use.learn for use in net.params] == [False, True]
    assert backward(net) == {"a": (False,), "loss": (True, False)}


def test_loss_weight_zero_is_no_loss(graph) -> None:
    assert backward(graph(INPUT + fc("a", "x") + LOSS % ("a", "loss_weight: 0"))) == {}


def test_any_top_may_be_the_objective(graph) -> None:
    net = graph(INPUT + fc("a", "x") + relu("r", "a", extra="loss_weight: -2"))
    assert backward(net) == {"a": (False,), "r": (True,)}


def test_propagate_down_false_cuts(graph) -> None:
    net = graph(INPUT + fc("a", "x") + fc("b", "a", extra="propagate_down: false") + LOSS % ("b", ""))
    assert backward(net) == {"b": (False,), "loss": (True, False)}


def test_propagate_down_false_on_one_of_two_ways(graph) -> None:
    net = graph(
        INPUT
        + fc("a", "x")
        + fc("b", "a", extra="propagate_down: false")
        + fc("c", "a")
        + 'layer { name: "sum" type: "Eltwise" bottom: "b" bottom: "c" top: "sum" }\n'
        + LOSS % ("sum", "")
    )
    assert backward(net) == {
        "a": (False,), "a_a_0_split": (True,), "b": (False,), "c": (True,), "sum": (True, True), "loss": (True, False),
    }  # fmt: skip


def test_propagate_down_true_forces(graph) -> None:
    net = graph(
        INPUT
        + fc("a", "x", extra="propagate_down: true")
        + LOSS % ("a", "propagate_down: true propagate_down: true")
    )
    assert backward(net) == {"a": (True,), "loss": (True, True)}


def test_propagate_down_through_in_place_layers(graph) -> None:
    net = graph(
        INPUT + fc("a", "x") + relu("r", "a", "a", "propagate_down: false") + fc("b", "a") + LOSS % ("b", "")
    )
    assert "a" not in backward(net)


def test_force_backward(graph) -> None:
    text = INPUT + relu("r", "x") + fc("a", "r", "param { lr_mult: 0 }")
    net = graph("force_backward: true\n" + text + LOSS % ("a", ""))
    assert backward(net) == {"r": (True,), "a": (True,), "loss": (True, True)}  # EuclideanLoss allows both
    assert [use.learn for use in net.params] == [True, True]
    assert backward(graph(text, force_backward=True)) == {"r": (True,), "a": (True,)}


def test_force_backward_spares_labels(graph) -> None:
    labels = 'layer { name: "lb" type: "Input" top: "label" input_param { shape { dim: 2 } } }\n'
    net = graph(
        INPUT + labels + fc("a", "x") + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "a" bottom: "label" }'
        'layer { name: "acc" type: "Accuracy" bottom: "a" bottom: "label" top: "acc" }',
        force_backward=True,
    )  # fmt: skip
    assert backward(net)["loss"] == (True, False)
    assert "acc" not in backward(net)


def test_what_a_layer_cannot_pass_on_it_does_not(graph) -> None:
    """Caffe ends the process here: ``Layer cannot backpropagate to label inputs``."""
    net = graph(
        INPUT + fc("a", "x") + fc("b", "x")
        + 'layer { name: "l" type: "Reduction" bottom: "b" top: "l" reduction_param { axis: 1 } }'
        'layer { name: "loss" type: "HingeLoss" bottom: "a" bottom: "l" }'
    )  # fmt: skip
    assert backward(net)["loss"] == (True, False)


def test_force_backward_spares_what_stands_behind_repeated_bottoms(graph) -> None:
    selector = 'layer { name: "s" type: "Input" top: "s" input_param { shape { dim: 2 } } }'
    net = graph(
        INPUT
        + selector
        + 'layer { name: "f" type: "Filter" bottom: "x" bottom: "t" bottom: "s" top: "a" top: "b" }',
        force_backward=True,
    )
    assert backward(net) == {"f": (True, True, False)}


# -- the same by an independent account of Caffe's three passes ------------------------------------------------


class Caffe:
    """The passes on names, as the documentation of ``Net::Init`` tells them: one blob for all in-place versions."""

    def __init__(self, net: Graph):
        self.net = net
        self.runs: dict[str, bool] = {}
        self.writes: dict[str, list[bool]] = {}
        self.forward_pass()
        self.backward_pass()

    def forward_pass(self) -> None:
        needed: set[str] = set()
        for node in self.net.nodes:
            asked = list(node.layer.spec.propagate_down)
            given = [b.name in needed for b in node.bottoms]
            self.writes[node.name] = asked or given
            rates = [p.lr_mult for p in node.layer.spec.param] + [1.0] * len(node.params)
            learns = any(rate != 0 for rate in rates[: len(node.params)])
            self.runs[node.name] = learns or any(given)
            if self.runs[node.name]:
                needed |= {top.name for top in node.tops}

    def backward_pass(self) -> None:
        under_loss: set[str] = set()
        skipped: set[str] = set()
        for node in reversed(self.net.nodes):
            tops = [top.name for top in node.tops]
            counts = any(v.loss_weight for v in node.tops) or not under_loss.isdisjoint(tops)
            if skipped.issuperset(tops) or not counts:
                self.runs[node.name] = False
                self.writes[node.name] = [False] * len(node.bottoms)
            for bottom, written in zip(node.bottoms, self.writes[node.name], strict=True):
                if counts:
                    under_loss.add(bottom.name)
                if not written:
                    skipped.add(bottom.name)


def random_net(rng: random.Random) -> str:
    """A net of a dozen layers with frozen params, propagate_down, in-place layers and several losses."""
    text, open_blobs = INPUT, ["x"]
    for i in range(rng.randint(3, 12)):
        bottom = rng.choice(open_blobs)
        down = rng.choice(["", "", "", "propagate_down: false"])
        kind = rng.randrange(5)
        if (
            kind == 0
            and bottom != "x"
            and f'bottom: "{bottom}"' not in text
            and f'top: "{bottom}"  loss' not in text
        ):
            text += relu(f"l{i}", bottom, bottom, down)
            continue
        if kind == 1 and len(open_blobs) > 1:
            pair = rng.sample(open_blobs, 2)
            text += f'layer {{ name: "l{i}" type: "Eltwise" bottom: "{pair[0]}" bottom: "{pair[1]}" top: "l{i}" }}\n'
        elif kind == 2:
            text += relu(f"l{i}", bottom, extra=rng.choice([down, " loss_weight: 0.5 " + down]))
        else:
            rates = "".join(
                f"param {{ lr_mult: {rng.choice([0, 1, 1])} }} " for _ in range(rng.randint(0, 2))
            )
            text += fc(f"l{i}", bottom, rates, down)
        open_blobs.append(f"l{i}")
    return text + LOSS % (rng.choice(open_blobs[1:]), "")


@pytest.mark.parametrize("seed", range(150))
def test_the_passes_of_caffe(graph, seed: int) -> None:
    net = graph(random_net(random.Random(seed)))
    caffe = Caffe(net)
    for node in net.nodes:
        expected = caffe.writes[node.name] if caffe.runs[node.name] else [False] * len(node.bottoms)
        if node.backward:
            assert list(node.propagate) == expected, f"{node.name} of\n{net}"
        else:  # a layer that would run to no effect does not run here
            idle = not any(expected) and not any(use.lr_mult for use in node.params)
            assert not caffe.runs[node.name] or idle or not has_backward(node.layer), f"{node.name} of\n{net}"
