"""Parameters and multiply-accumulates of the nets in models/ against what was published about them.

``parameters`` counts what a solver learns: weights, biases, and the scale and shift after batch normalisation.
``statistics`` counts what BatchNorm keeps beside that (mean, variance and one factor for each layer); a
caffemodel holds both. ``macs`` counts the multiply-accumulates of one image in convolutions and inner products.

Sources:

- AlexNet, VGG-16, GoogLeNet, and the ResNets with statistics (25,610,269, 44,654,608 and 60,344,387): the table of
  models in the documentation of HewlettPackard/dlcookbook-dlbs, made from the authors' prototxt files.
- The ResNets without statistics: torchvision (25,557,032, 44,549,160, 60,192,808); the authors' ResNet-50 has 64
  more, because its first convolution kept a bias.
- GoogLeNet with both auxiliary heads, 13,378,280: implementations of the whole paper agree on it.
- LeNet, by hand: 520 + 25,050 + 400,500 + 5,010 parameters, 288,000 + 1,600,000 + 400,000 + 5,000 multiply-accumulates.
  On the 26 x 26 pixels of the digits: 242,000 + 1,225,000 + 400,000 + 5,000.
- Multiply-accumulates: in the papers 1.5e9 for GoogLeNet (section 1) and 3.8e9, 7.6e9, 11.3e9 for the ResNets
  (table 1); widely counted 724,406,816 for AlexNet with its groups and 15,470,264,320 for VGG-16. The exact numbers
  of GoogLeNet and the ResNets are sums over their layers, which agree with these to the digits given.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import pytest

from caffelite.graph.build import build_graph
from caffelite.graph.graph import Graph
from caffelite.prototxt.source import NetSource, parse_net
from caffelite.types import Phase

GENERATE = Path(__file__).resolve().parents[2] / "models" / "generate.py"


@dataclass(frozen=True)
class Published:
    parameters: int
    macs: int
    statistics: int = 0


DEPLOY = {
    "lenet": Published(431_080, 2_293_000),
    "digits": Published(431_080, 1_872_000),
    "alexnet": Published(60_965_224, 724_406_816),
    "vgg16": Published(138_357_544, 15_470_264_320),
    "googlenet": Published(6_998_552, 1_582_671_872),
    "resnet50": Published(25_557_032 + 64, 3_857_973_248, statistics=53_173),
}
TRAIN = DEPLOY | {"googlenet": Published(13_378_280, 1_591_044_096)}
GENERATED = {
    "resnet101": Published(44_549_160, 7_570_194_432, statistics=44_654_608 - 44_549_160),
    "resnet152": Published(60_192_808, 11_282_415_616, statistics=60_344_387 - 60_192_808),
}


def count(graph: Graph) -> Published:
    """The totals of a graph whose batch size is its first shape's first number."""
    sizes = {True: 0, False: 0}
    for use in graph.params:
        sizes[use.spec.learnable] += prod(use.spec.shape)
    batch = graph.nodes[0].tops[0].shape[0]
    macs = sum(
        node.layer.macs([value.shape for value in node.bottoms], [value.shape for value in node.tops])
        for node in graph.nodes
    )
    return Published(sizes[True], macs // batch, sizes[False])


@pytest.mark.parametrize("net", DEPLOY)
def test_deploy(read_model: Callable[..., NetSource], net: str) -> None:
    assert count(build_graph(read_model(net, "deploy"), Phase.TEST)) == DEPLOY[net]


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("net", TRAIN)
def test_train_val(read_model: Callable[..., NetSource], net: str, phase: Phase) -> None:
    assert count(build_graph(read_model(net, "train_val", batch=2), phase)) == TRAIN[net]


@pytest.mark.parametrize("net", GENERATED)
def test_deeper_resnets(net: str) -> None:
    text = runpy.run_path(str(GENERATE))["prototxt"](net, "deploy")
    assert count(build_graph(parse_net(text, net), Phase.TEST)) == GENERATED[net]
