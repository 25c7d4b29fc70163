"""Pictures of nets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from caffelite import draw
from caffelite.errors import DataError, UsageError
from caffelite.prototxt.source import parse_net

NET = r"""
name: "tiny"
layer { name: "data" type: "Data" top: "data" top: "label" data_param { batch_size: 64 } include { phase: TRAIN } }
layer { name: "test_data" type: "Data" top: "data" data_param { batch_size: 9 } include { phase: TEST } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 20 kernel_size: 5 stride: 2 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_h: 3 kernel_w: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 10 } param { lr_mult: 0 } param { lr_mult: 0 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" exclude { phase: TRAIN } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" include { phase: TRAIN } include { stage: "val" } }
"""
CONV = r"conv\n(Convolution)\nkernel size: 5\nstride: 2\npad: 1"


@pytest.fixture
def net():
    return parse_net(NET).message


def layers(net) -> dict:
    return {layer.name: layer for layer in net.layer}


def text(net, rankdir: str = "LR", **options) -> list[str]:
    return draw.draw_net(net, rankdir, "dot", **options).decode().splitlines()


def test_pooling_types() -> None:
    found = draw.get_pooling_types_dict()
    assert [found[number] for number in (0, 1, 2)] == ["MAX", "AVE", "STOCHASTIC"]


def test_edge_labels(net) -> None:
    labels = {name: draw.get_edge_label(layer) for name, layer in layers(net).items()}
    assert (labels["data"], labels["conv"], labels["ip"], labels["relu"]) == ("Batch 64", "20", "10", '""')


def test_layer_labels(net) -> None:
    found = layers(net)
    assert draw.get_layer_label(found["conv"], "LR") == f'"{CONV}"'
    assert draw.get_layer_label(found["conv"], "TB") == '"conv (Convolution) kernel size: 5 stride: 2 pad: 1"'
    assert (
        draw.get_layer_label(found["pool"], "BT") == '"pool (Pooling AVE) kernel size: 3x2 stride: 2 pad: 0"'
    )
    assert draw.get_layer_label(found["relu"], "RL") == r'"relu\n(ReLU)"'
    found["pool"].pooling_param.global_pooling = True
    assert "kernel size: global" in draw.get_layer_label(found["pool"], "BT")


def test_labels_with_learning_rates(net) -> None:
    found = layers(net)
    assert draw.get_layer_label(found["conv"], "LR", display_lrm=True) == rf'"{CONV}\nlr mult: 1.0, 2.0"'
    assert "lr mult" not in draw.get_layer_label(
        found["ip"], "LR", display_lrm=True
    )  # both 0: nothing is learned
    assert "lr mult" not in draw.get_layer_label(found["pool"], "LR", display_lrm=True)


def test_learning_rates(net) -> None:
    found = layers(net)
    assert draw.get_layer_lr_mult(found["conv"]) == (1, 2) and draw.get_layer_lr_mult(found["ip"]) == (0, 0)
    del found["conv"].param[1]
    found["conv"].param[0].lr_mult = 3
    assert draw.get_layer_lr_mult(found["conv"]) == (3, 1)
    del found["conv"].param[:]
    assert draw.get_layer_lr_mult(found["conv"]) == (1, 1)
    with pytest.raises(ValueError, match="ReLU layers do not have a learning rate multiplier"):
        draw.get_layer_lr_mult(found["relu"])
    for _ in range(3):
        found["ip"].param.add()
    with pytest.raises(ValueError, match="Could not parse the learning rate multiplier"):
        draw.get_layer_lr_mult(found["ip"])


def test_colours() -> None:
    colours = [
        draw.choose_color_by_layertype(t)
        for t in ("Convolution", "Deconvolution", "Pooling", "InnerProduct", "LRN")
    ]
    assert colours == ["#FF5050", "#FF5050", "#FF9900", "#CC33FF", "#6495ED"]


def test_the_graph_as_text(net) -> None:
    lines = text(net)
    assert lines[:2] == ['digraph "tiny" {', "rankdir=LR;"] and lines[-1] == "}"
    box = 'shape="record", fillcolor="{}", style="filled"];'
    assert f'"conv_Convolution" [label="{CONV}", {box.format("#FF5050")}' in lines
    assert rf'"relu_ReLU" [label="relu\n(ReLU)", {box.format("#90EE90")}' in lines
    assert '"conv_blob" [label="conv", shape="octagon", fillcolor="#E0E0E0", style="filled"];' in lines
    assert '"loss_blob" [label="loss"];' in lines
    assert '"data_Data" -> "data_blob" [label="Batch 64"];' in lines
    assert '"data_blob" -> "conv_Convolution" [label=""];' in lines
    assert '"conv_Convolution" -> "conv_blob" [label="20"];' in lines


def test_phases(net) -> None:
    def drawn(phase):
        return {
            name
            for name in layers(net)
            if any(line.startswith(f'"{name}_') and "_blob" not in line for line in text(net, phase=phase))
        }

    both = {"conv", "relu", "pool", "ip"}
    assert drawn(0) == both | {"data", "loss"}
    assert drawn(1) == both | {"test_data", "prob", "loss"}  # a rule that names no phase is for both
    assert drawn(None) == set(layers(net))
    layers(net)["prob"].exclude[0].ClearField("phase")
    layers(net)["prob"].exclude[0].stage.append("val")
    assert drawn(0) == both | {"data", "prob", "loss"}
    net.layer[0].exclude.add()
    with pytest.raises(ValueError, match="layer data has both include and exclude specified"):
        text(net, phase=0)


def test_signs_that_mean_something_to_graphviz() -> None:
    net = parse_net('layer { name: "a|b\\"<c>" type: "ReLU" bottom: "x y" top: "z/\\"1" }').message
    lines = text(net)
    assert lines[0] == 'digraph "Net" {'
    assert any(r'label="a\|b\"\<c\>\n(ReLU)"' in line for line in lines)
    assert any(line.startswith(r'"z/\"1_blob"') for line in lines)


def test_nets_of_older_formats() -> None:
    net = parse_net(
        'input: "x" input_dim: 1 input_dim: 1 input_dim: 1 input_dim: 1 layers { name: "r" type: RELU bottom: "x" top: "y" }'
    )
    assert any('"r_ReLU"' in line for line in text(net.message))


def test_rankdir(net) -> None:
    assert text(net, "BT")[1] == "rankdir=BT;"
    with pytest.raises(UsageError, match="rankdir: expected LR, TB, BT, RL, got 'UP'"):
        text(net, "UP")


def test_draw_net_to_file(net, tmp_path: Path) -> None:
    for name in ("net.dot", "net.gv", "net.raw"):
        draw.draw_net_to_file(net, str(tmp_path / name), "TB", phase=1)
        assert (tmp_path / name).read_bytes() == draw.draw_net(net, "TB", "raw", phase=1)
    with pytest.raises(UsageError, match="expected an extension that names a format"):
        draw.draw_net_to_file(net, tmp_path / "net")


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = folder / "dot"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for Graphviz")
def test_pictures_are_drawn_by_dot(net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, 'echo "drawn $1"; cat')
    assert draw.draw_net(net, "LR", "svg") == b"drawn -Tsvg\n" + draw.draw_net(net, "LR", "dot")
    program(tmp_path, monkeypatch, "echo 'Format: not recognized' >&2; exit 1")
    with pytest.raises(UsageError, match="-Tfoo' failed: Format: not recognized"):
        draw.draw_net(net, "LR", "foo")


def test_without_graphviz(net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="drawing .png needs Graphviz(.|\n)*Fix: apt-get install graphviz"):
        draw.draw_net_to_file(net, tmp_path / "net.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_pydot_graph(net) -> None:
    pydot = pytest.importorskip("pydot")
    graph = draw.get_pydot_graph(net, "TB", label_edges=False)
    assert isinstance(graph, pydot.Dot) and graph.get_rankdir() == "TB"
    nodes = {node.get_name() for node in graph.get_nodes()}
    assert '"conv_Convolution"' in nodes and len(nodes) == 8 + 7
    assert {edge.get("label") for edge in graph.get_edges()} == {'""'}


def test_without_pydot(net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pydot", None)
    with pytest.raises(DataError, match=r"Fix: pip install 'caffelite\[draw\]'"):
        draw.get_pydot_graph(net, "LR")
