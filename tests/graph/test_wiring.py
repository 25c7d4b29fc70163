"""Names of blobs: versions, and each way in which they can be wrong."""

from __future__ import annotations

import pytest

from caffelite.graph.problems import NetErrors
from caffelite.graph.wiring import assign
from caffelite.types import Phase

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'


def layer(name: str, type_: str, bottoms: str, tops: str, extra: str = "") -> str:
    """``bottoms`` and ``tops`` are names with spaces between."""
    names = "".join(f' bottom: "{b}"' for b in bottoms.split()) + "".join(
        f' top: "{t}"' for t in tops.split()
    )
    return f'layer {{ name: "{name}" type: "{type_}"{names} {extra} }}\n'


def test_each_write_is_a_version(graph) -> None:
    net = graph(
        INPUT + layer("a", "ReLU", "x", "x") + layer("b", "Sigmoid", "x", "x") + layer("c", "TanH", "x", "y")
    )
    assert [[str(v) for v in n.tops] for n in net.nodes] == [["x@0"], ["x@1"], ["x@2"], ["y@0"]]
    assert str(net.blobs["x"]) == "x@2"
    assert [(str(b), str(t)) for n in net.nodes for b, t in n.inplace_pairs()] == [
        ("x@0", "x@1"),
        ("x@1", "x@2"),
    ]
    assert [v.reader.name for v in net.values if v.reader] == ["a", "b", "c"]


def test_inputs_and_outputs(graph) -> None:
    net = graph(
        INPUT
        + 'layer { name: "in2" type: "Input" top: "q" top: "p" input_param { shape { dim: 2 } } }\n'
        + layer("s", "Slice", "x", "z a k", "slice_param { axis: 1 }")
        + layer("silence", "Silence", "k q", "")
    )
    assert net.inputs == ["x", "q", "p"]
    assert net.outputs == ["a", "p", "z"]  # alphabetical


def test_a_net_of_nothing(refused) -> None:
    assert refused('name: "empty"') == "net 'empty' in 'net.prototxt': the net has no layers"
    rule = 'layer { name: "x" type: "Input" top: "x" include { phase: TEST } }'
    assert refused(rule).startswith("net in 'net.prototxt': no layer is left in phase TRAIN\n  Fix: ")


def test_unknown_bottom_with_suggestion(refused) -> None:
    message = refused(INPUT + layer("conv1", "ReLU", "x", "conv1") + layer("r", "ReLU", "cnov1", "r"))
    assert message == (
        "layer 'r' (ReLU) at net.prototxt:3:32: bottom 'cnov1' is produced by no earlier layer\n  Fix: did you mean 'conv1'?"
    )


def test_splits_are_not_suggested(refused) -> None:
    message = refused(
        INPUT
        + layer("a", "ReLU", "x", "a")
        + layer("b", "ReLU", "x", "b")
        + layer("r", "ReLU", "x_in_0_splt_0", "r")
    )
    assert "did you mean" not in message


def test_bottom_of_another_phase(refused) -> None:
    text = (
        INPUT + layer("noise", "Dropout", "x", "n", "include { phase: TRAIN }") + layer("r", "ReLU", "n", "r")
    )
    message = refused(text, Phase.TEST)
    assert "'n' is a top of layer 'noise' at net.prototxt:2:1" in message
    assert "belongs to another phase" in message


def test_bottom_that_comes_later_or_round_a_circle(refused) -> None:
    message = refused(INPUT + layer("a", "Eltwise", "x c", "b") + layer("c", "ReLU", "b", "c"))
    assert "bottom 'c' is produced by no earlier layer" in message
    assert "'c' is a top of layer 'c' at net.prototxt:3:1, which stands later in the file" in message
    assert message.count("layer 'c' (ReLU)") == 0  # it only lacks what 'a' would have made


@pytest.mark.parametrize("bottoms", ["y", "x y"])
def test_own_top_is_no_place_to_move(refused, bottoms: str) -> None:
    """``bottom: "y" top: "y"`` with no y before is a misspelling, not a layer in the wrong place."""
    message = refused(INPUT + layer("e", "Eltwise", f"{bottoms} y", "y"))
    assert "bottom 'y' is produced by no earlier layer" in message
    assert "stands later" not in message


def test_duplicate_top(refused) -> None:
    message = refused(
        INPUT + layer("a", "ReLU", "x", "y") + layer("b", "ReLU", "y", "z") + layer("c", "ReLU", "z", "y")
    )
    assert "layer 'c' (ReLU) at net.prototxt:4:44: top 'y' is already produced by layer 'a'" in message
    assert "rename the top of 'c'" in message


@pytest.mark.parametrize(
    ("first", "second", "lack"),
    [
        ("", "", "'d' at net.prototxt:2:1 and 'd' have none"),
        ("include { phase: TEST }", "", "'d' has none"),
        ("", "include { phase: TEST }", "'d' at net.prototxt:2:1 has none"),
        ("include { phase: TEST }", "include { stage: 'b' }", "both are in this one"),
    ],
)
def test_two_data_layers_for_one_phase(refused, first, second, lack) -> None:
    def data(rules: str) -> str:
        return layer("d", "DummyData", "", "data", rules + " dummy_data_param { shape { dim: 1 } }")

    message = refused(INPUT + data(first) + "\n" + data(second), Phase.TEST, stages=("b",))
    assert message.endswith(
        "top 'data' is already produced by layer 'd'\n  Fix: if one is for training and the other for tests, let the "
        f"one say include {{ phase: TRAIN }} and the other include {{ phase: TEST }}: {lack}"
    )


def test_duplicate_top_in_one_layer(refused) -> None:
    assert "top 'p' is already produced by layer 's'" in refused(INPUT + layer("s", "Slice", "x", "p p p"))


def test_in_place_beside_another_reader(refused) -> None:
    message = refused(
        INPUT + layer("r", "ReLU", "x", "x") + layer("a", "ReLU", "x", "a") + layer("b", "ReLU", "x", "x")
    )
    assert "'b' would overwrite 'x' in place although another layer reads it too" in message
    assert 'top: "x_b"' in message


def test_in_place_needs_the_same_position(refused) -> None:
    """Caffe compares bottom i with top i."""
    assert "already produced" in refused(
        INPUT
        + layer("t", "Input", "", "t", "input_param { shape { dim: 2 } }")
        + layer("s", "Scale", "x t", "t", "scale_param { axis: 0 }")
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (layer("s", "Softmax", "x x", "s"), "expected 1 bottom blob(s) (x), got 2"),
        (layer("s", "Softmax", "", "s"), "expected 1 bottom blob(s) (x), got 0"),
        (layer("s", "Softmax", "x", ""), "expected 1 top blob(s) (y), got 0"),
        (layer("s", "Silence", "x", "s"), "expected 0 top blob(s), got 1"),
        (layer("s", "Concat", "", "s"), "expected at least 1 bottom blob(s) (x), got 0"),
        (layer("s", "Scale", "x x x", "s"), "expected 1 to 2 bottom blob(s) (x, scale), got 3"),
        (
            layer("s", "Convolution", "x x", "s", "convolution_param { num_output: 1 kernel_size: 1 }"),
            "as many tops as bottoms",
        ),
        (layer("s", "EuclideanLoss", "x", ""), "expected 2 to 3 bottom blob(s) (x, target, weight), got 1"),
    ],
)
def test_counts(refused, text: str, expected: str) -> None:
    assert expected in refused(INPUT + text)


def test_automatic_tops_of_losses(graph) -> None:
    target = 'layer { name: "in2" type: "Input" top: "t" input_param { shape { dim: 2 dim: 3 } } }\n'
    net = graph(
        INPUT + target + layer("l1", "EuclideanLoss", "x t", "") + layer("l2", "EuclideanLoss", "x t", "")
    )
    losses = [v for v in net.values if v.loss_weight]
    assert [str(v) for v in losses] == ["(automatic)@0", "(automatic)@1"]
    assert net.outputs == []  # they count, and have no name
    assert "(automatic)" in net.blobs


def test_a_broken_layer_in_place_is_the_only_complaint(refused) -> None:
    message = refused(
        INPUT
        + layer("first", "ReLU", "x", "first")
        + layer("bad", "Relu", "x", "x")
        + layer("after", "ReLU", "x", "after")
        + layer("then", "ReLU", "after", "then")
    )
    assert message.startswith("layer 'bad'") and message.count("\n") == 0


def test_all_errors_at_once(graph) -> None:
    text = (
        INPUT
        + layer("a", "Relu", "x", "a")
        + layer("b", "InnerProduct", "a", "b", "inner_product_param { num_output: 4 }")
        + layer("c", "ReLU", "xx", "c")
        + layer("d", "Dropout", "x", "d", "dropout_param { dropout_ratio: 1.5 }")
        + layer("e", "InnerProduct", "x", "e")
        + layer("f", "ReLU", "x", "f", "propagate_down: true propagate_down: false")
        + layer("g", "ReLU", "x", "g", "loss_weight: 1 loss_weight: 1")
        + layer("h", "ReLU", "x", "h", 'param { name: "w" }')
    )
    with pytest.raises(NetErrors) as caught:
        graph(text)
    messages = [str(error) for error in caught.value.errors]
    assert [text.split("'")[1] for text in messages] == ["a", "c", "d", "e", "f", "g", "h"]
    for line, message in zip((2, 4, 5, 6, 7, 8, 9), messages, strict=True):
        assert f"net.prototxt:{line}:" in message
    assert str(caught.value) == "\n".join(messages)


def test_layers_with_one_name(graph) -> None:
    """Caffe lets them be; what they keep must not get mixed up."""
    net = graph(INPUT + layer("r", "Dropout", "x", "a") + layer("r", "Dropout", "a", "b"))
    assert [n.key for n in net.nodes] == ["in", "r", "r#2"]
    ip = "inner_product_param { num_output: 3 }"
    net = graph(INPUT + layer("fc", "InnerProduct", "x", "a", ip) + layer("fc", "InnerProduct", "a", "b", ip))
    assert [n.store for n in net.nodes] == ["in", "fc", "fc#2"]
    assert [use.layer for use in net.params] == ["fc", "fc", "fc#2", "fc#2"]
    assert net.notes == ["another layer with params is named fc: those of the later one are 'fc#2'"]


@pytest.mark.parametrize(
    ("names", "items", "expected"),
    [
        (("x",), [1], {"x": 1}),
        (("x", "label?"), [1], {"x": 1, "label": None}),
        (("x", "label?"), [1, 2], {"x": 1, "label": 2}),
        (("x*",), [1, 2, 3], {"x": [1, 2, 3]}),
        (("x*", "selector"), [1, 2, 3], {"x": [1, 2], "selector": 3}),
        (("x", "y*"), [1], {"x": 1, "y": []}),
        ((), [], {}),
    ],
)
def test_assign(names: tuple[str, ...], items: list[int], expected: dict[str, object]) -> None:
    assert assign(names, items) == expected


def test_the_graph_as_text(graph) -> None:
    text = (
        'name: "small"\n'
        + INPUT
        + layer(
            "ip",
            "InnerProduct",
            "x",
            "ip",
            'inner_product_param { num_output: 2 } param { name: "w" lr_mult: 2 } param { lr_mult: 0 }',
        )
        + layer("r", "ReLU", "ip", "ip")
        + layer("l", "ReLU", "ip", "l", "loss_weight: 0.5")
        + layer("t", "ReLU", "x", "t", "include { phase: TEST }")
    )
    assert str(graph(text)) == (
        "net 'small' phase TRAIN: 4 layers, 2 params\n"
        "  0 in Input                 - -> x@0 (2 3)\n"
        "  1 ip InnerProduct       <- x@0 -> ip@0 (2 2)\n"
        "       W 2 3 (6) lr 2 decay 1\n"
        "       b 2 (2) lr 0 decay 1 fixed\n"
        "  2 r  ReLU               <- ip@0' -> ip@1 (2 2)\n"
        "  3 l  ReLU               <- ip@1' -> l@0 (2 2) *0.5\n"
        "outputs: l\n"
        "note  t is left out: phase TRAIN is not TEST"
    )
