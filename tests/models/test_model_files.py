"""The prototxt files of models/: names and types of the published models, and three files that fit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caffelite.graph.build import build_graph
from caffelite.prototxt.source import NetSource, read_solver
from caffelite.types import Phase

ROOT = Path(__file__).resolve().parents[2]
NETS = ("lenet", "digits", "alexnet", "vgg16", "googlenet", "resnet50")
LEARNED = {"Convolution", "InnerProduct", "BatchNorm", "Scale"}

INCEPTIONS = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
BRANCHES = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
BLOCKS = ("2a", "2b", "2c", "3a", "3b", "3c", "3d", "4a", "4b", "4c", "4d", "4e", "4f", "5a", "5b", "5c")
VGG16 = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}  # convolutions in each block


def resnet50_learned() -> set[str]:
    projections = [f"{block}_branch1" for block in ("2a", "3a", "4a", "5a")]
    branches = projections + [f"{block}_branch2{which}" for block in BLOCKS for which in "abc"]
    names = {f"{kind}{branch}" for kind in ("res", "bn", "scale") for branch in branches}
    return names | {"conv1", "bn_conv1", "scale_conv1", "fc1000"}


NAMES = {
    "lenet": {"conv1", "conv2", "ip1", "ip2"},
    "digits": {"conv1", "conv2", "ip1", "ip2"},
    "alexnet": {"conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"},
    "vgg16": {f"conv{block}_{i}" for block, convs in VGG16.items() for i in range(1, convs + 1)}
    | {"fc6", "fc7", "fc8"},
    "googlenet": {f"inception_{module}/{branch}" for module in INCEPTIONS for branch in BRANCHES}
    | {"conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3", "loss3/classifier"},
    "resnet50": resnet50_learned(),
}
"""Layers with weights, as the published caffemodels name them."""

TYPES = {
    "lenet": {"Convolution": 2, "Pooling": 2, "InnerProduct": 2, "ReLU": 1},
    "digits": {"Convolution": 2, "Pooling": 2, "InnerProduct": 2, "ReLU": 1, "Dropout": 1},
    "alexnet": {"Convolution": 5, "LRN": 2, "Pooling": 3, "InnerProduct": 3, "ReLU": 7, "Dropout": 2},
    "vgg16": {"Convolution": 13, "Pooling": 5, "InnerProduct": 3, "ReLU": 15, "Dropout": 2},
    "googlenet": {
        "Convolution": 57, "ReLU": 57, "Pooling": 14, "LRN": 2, "Concat": 9, "Dropout": 1, "InnerProduct": 1,
    },
    "resnet50": {
        "Convolution": 53, "BatchNorm": 53, "Scale": 53, "ReLU": 49, "Eltwise": 16, "Pooling": 2, "InnerProduct": 1,
    },
}  # fmt: skip
"""Layers of the deploy files besides Input and Softmax."""


@pytest.mark.parametrize("net", NETS)
def test_deploy_has_the_published_names(read_model: Callable[..., NetSource], net: str) -> None:
    layers = read_model(net, "deploy").message.layer
    assert {layer.name for layer in layers if layer.type in LEARNED} == NAMES[net]
    assert Counter(layer.type for layer in layers) == TYPES[net] | {"Input": 1, "Softmax": 1}
    assert len({layer.name for layer in layers}) == len(layers)


@pytest.mark.parametrize("net", NETS)
def test_deploy_feeds_data_and_gives_prob(read_model: Callable[..., NetSource], net: str) -> None:
    graph = build_graph(read_model(net, "deploy"), Phase.TEST)
    assert graph.inputs == ["data"]
    assert graph.outputs == ["prob"]


def learned(source: NetSource) -> dict[str, Any]:
    """The layers with weights, without what only training or only testing wants to know of them."""
    kept = {}
    for layer in source.message.layer:
        if layer.type in LEARNED:
            layer.ClearField("param")
            layer.ClearField("batch_norm_param")
            for message in (layer.convolution_param, layer.inner_product_param):
                message.ClearField("weight_filler")
                message.ClearField("bias_filler")
            kept[layer.name] = layer
    return kept


def googlenet_heads() -> set[str]:
    return {f"loss{i}/{name}" for i in (1, 2) for name in ("conv", "fc", "classifier")}


@pytest.mark.parametrize("net", NETS)
def test_deploy_is_the_trained_net(read_model: Callable[..., NetSource], net: str) -> None:
    trained, deployed = learned(read_model(net, "train_val")), learned(read_model(net, "deploy"))
    assert trained.keys() - deployed.keys() == (googlenet_heads() if net == "googlenet" else set())
    assert {name: trained[name] for name in deployed} == deployed


def test_googlenet_has_three_weighted_losses(read_model: Callable[..., NetSource]) -> None:
    graph = build_graph(read_model("googlenet", "train_val", batch=1), Phase.TRAIN)
    losses = {value.name: value.loss_weight for value in graph.values if value.loss_weight}
    assert losses == {"loss1/loss1": pytest.approx(0.3), "loss2/loss2": pytest.approx(0.3), "loss3/loss3": 1}


@pytest.mark.parametrize("net", NETS)
def test_solver_fits_its_net(read_model: Callable[..., NetSource], net: str) -> None:
    solver = read_solver(ROOT / "models" / net / "solver.prototxt").message
    assert (ROOT / solver.net).samefile(ROOT / "models" / net / "train_val.prototxt")
    assert Path(solver.snapshot_prefix).name == net
    data = [layer for layer in read_model(net, "train_val").message.layer if layer.include]
    assert [layer.include[0].phase for layer in data if layer.type == "Data"] == [Phase.TRAIN, Phase.TEST]


@pytest.mark.parametrize(
    ("net", "train_images", "test_images"),
    [("lenet", 64, 10_000), ("digits", 64, 359), ("alexnet", 256, 50_000), ("vgg16", 256, 50_000), ("googlenet", 32, 50_000),
     ("resnet50", 256, 50_000)],
)  # fmt: skip
def test_steps_and_tests_cover_the_recipe(
    read_model: Callable[..., NetSource], net: str, train_images: int, test_images: int
) -> None:
    solver = read_solver(ROOT / "models" / net / "solver.prototxt").message
    layers = read_model(net, "train_val").message.layer
    batch = {layer.include[0].phase: layer.data_param.batch_size for layer in layers if layer.type == "Data"}
    assert batch[Phase.TRAIN] * solver.iter_size == train_images
    assert batch[Phase.TEST] * solver.test_iter[0] == test_images
