"""Parameters with names: owners, sharers, multipliers. Rules: ``Net::AppendParam`` of BVLC Caffe."""

from __future__ import annotations

import pytest

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 } } }\n'


def fc(name: str, bottom: str, params: str = "", outputs: int = 4, extra: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" '
        f"inner_product_param {{ num_output: {outputs} {extra} }} {params} }}\n"
    )


def test_first_occurrence_owns(graph) -> None:
    net = graph(INPUT + fc("a", "x", 'param { name: "w" } param { }') + fc("b", "a", 'param { name: "w" }'))
    a, b = net.nodes[1].params, net.nodes[2].params
    assert b[0].owner is a[0]
    assert (a[0].owner, a[1].owner, b[1].owner) == (None, None, None)
    assert [(use.layer, use.index) for use in net.params] == [("a", 0), ("a", 1), ("b", 1)]


def test_empty_names_share_nothing(graph) -> None:
    net = graph(INPUT + fc("a", "x", 'param { name: "" }') + fc("b", "a", 'param { name: "" }'))
    assert len(net.params) == 4


def test_sharing_within_one_layer(graph) -> None:
    one = INPUT.replace("dim: 4", "dim: 1")
    net = graph(
        one + fc("a", "x", 'param { name: "w" } param { name: "w" share_mode: PERMISSIVE }', outputs=1)
    )
    assert [use.owner is None for use in net.nodes[1].params] == [True, False]


def test_strict_shapes(refused) -> None:
    message = refused(INPUT + fc("a", "x", 'param { name: "w" }', 3) + fc("b", "x", 'param { name: "w" }', 4))
    assert message == (
        "layer 'b' (InnerProduct) at net.prototxt:3:100: expected of param 'w', shared with layer 'a', shape 3 4 (12), "
        "got 4 4 (16)"
    )


def test_strict_shapes_of_equal_count(refused) -> None:
    message = refused(
        INPUT
        + fc("a", "x", 'param { name: "w" }', 3)
        + fc("b", "x", 'param { name: "w" }', 3, "transpose: true")
    )
    assert (
        "shape 3 4 (12), got 4 3 (12)\n  Fix: share_mode: PERMISSIVE shares blobs of equal count" in message
    )


def test_permissive_counts(graph, refused) -> None:
    shared = 'param { name: "w" }'
    permissive = 'param { name: "w" share_mode: PERMISSIVE }'
    net = graph(INPUT + fc("a", "x", shared, 3) + fc("b", "x", permissive, 3, "transpose: true"))
    assert net.nodes[-1].params[0].owner is not None
    assert net.nodes[-1].params[0].spec.shape == (4, 3)  # the sharer keeps its own
    message = refused(INPUT + fc("a", "x", shared, 3) + fc("b", "x", permissive, 5))
    assert "expected of param 'w', shared with layer 'a', count 3 4 (12), got 5 4 (20)" in message
    assert "Fix" not in message


def test_the_sharers_mode_counts(refused) -> None:
    """PERMISSIVE at the owner says nothing about those that come after."""
    message = refused(
        INPUT
        + fc("a", "x", 'param { name: "w" share_mode: PERMISSIVE }', 3)
        + fc("b", "x", 'param { name: "w" }', 3, "transpose: true")
    )
    assert "shape 3 4 (12), got 4 3 (12)" in message


@pytest.mark.parametrize(
    ("first", "second", "lr", "decay"),
    [
        ("", "", 1, 1),
        ("lr_mult: 2 decay_mult: 3", "", 2, 3),
        ("", "lr_mult: 2 decay_mult: 3", 2, 3),
        ("lr_mult: 2", "decay_mult: 3", 2, 3),
        ("lr_mult: 2 decay_mult: 3", "lr_mult: 2 decay_mult: 3", 2, 3),
        ("lr_mult: 0", "", 0, 1),
        ("", "lr_mult: 0", 0, 1),
    ],
)
def test_multipliers_are_agreed_on(graph, first: str, second: str, lr: float, decay: float) -> None:
    net = graph(
        INPUT
        + fc("a", "x", f'param {{ name: "w" {first} }}')
        + fc("b", "a", f'param {{ name: "w" {second} }}')
        + fc("l", "b", "loss_weight: 1")
    )
    owner = net.params[0]
    assert (owner.lr_mult, owner.decay_mult) == (lr, decay)
    assert [node.params[0].learn for node in net.nodes[1:3]] == [lr != 0] * 2


def test_the_third_sharer_meets_what_the_second_wrote(refused) -> None:
    message = refused(
        INPUT
        + fc("a", "x", 'param { name: "w" }')
        + fc("b", "a", 'param { name: "w" lr_mult: 2 }')
        + fc("c", "b", 'param { name: "w" lr_mult: 3 }')
    )
    assert "layer 'c'" in message
    assert "expected of param 'w', shared with layer 'a', lr_mult 2, got 3" in message


@pytest.mark.parametrize("field", ["lr_mult", "decay_mult"])
def test_mismatched_multipliers(refused, field: str) -> None:
    message = refused(
        INPUT
        + fc("a", "x", f'param {{ name: "w" {field}: 1 }}')
        + fc("b", "a", f'param {{ name: "w" {field}: 2 }}')
    )
    assert f"expected of param 'w', shared with layer 'a', {field} 1, got 2" in message
    assert f"write {field} once, or the same twice" in message


def test_too_many_param_entries(refused) -> None:
    message = refused(INPUT + fc("a", "x", "param { } param { } param { }"))
    assert "expected at most 2 param entries, got 3" in message
    assert "expected at most 1 param entries, got 2" in refused(
        INPUT + fc("a", "x", "param { } param { }", extra="bias_term: false")
    )


def test_defaults(graph) -> None:
    net = graph(INPUT + fc("a", "x", "param { decay_mult: 0 }"))
    assert [(use.lr_mult, use.decay_mult) for use in net.params] == [(1, 0), (1, 1)]


def test_statistics_are_never_learned(graph) -> None:
    net = graph(
        INPUT + 'layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" loss_weight: 1 }',
        force_backward=True,
    )
    assert [(use.lr_mult, use.learn) for use in net.params] == [(0, False)] * 3
