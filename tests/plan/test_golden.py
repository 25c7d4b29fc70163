"""Plans as text. ``CAFFELITE_REWRITE_GOLDEN=1 pytest tests/plan`` writes them anew; read the difference before you commit.

The engine of these tests fuses ReLU into Convolution, InnerProduct and BatchNorm and wants channels-last blobs, so
that every pass of the planner shows whatever the machine has installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import caffelite.plan.build as build
import caffelite.plan.choose as choose
from caffelite.plan.plan import Buffer, Plan
from caffelite.types import Phase

FOLDER = Path(__file__).parent.parent / "golden" / "plans"

LENET = """
name: "lenet"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 64 dim: 1 dim: 28 dim: 28 } shape { dim: 64 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 20 kernel_size: 5 } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" convolution_param { num_output: 50 kernel_size: 5 } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1" inner_product_param { num_output: 500 } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 10 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""

RESNET = """
name: "residual"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "relu" }
layer { name: "branch" type: "Convolution" bottom: "relu" top: "branch"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 bias_term: false } }
layer { name: "bn" type: "BatchNorm" bottom: "branch" top: "branch" }
layer { name: "scale" type: "Scale" bottom: "branch" top: "branch" scale_param { bias_term: true } }
layer { name: "branch_relu" type: "ReLU" bottom: "branch" top: "branch" }
layer { name: "sum" type: "Eltwise" bottom: "relu" bottom: "branch" top: "sum" }
layer { name: "sum_relu" type: "ReLU" bottom: "sum" top: "sum" }
layer { name: "pool" type: "Pooling" bottom: "sum" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""

INPLACE = """
name: "in place"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "norm" type: "Scale" bottom: "data" top: "data" }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 5 kernel_size: 3 } }
layer { name: "granted" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "tanh" type: "TanH" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "lrn" type: "LRN" bottom: "conv" top: "lrn" }
layer { name: "lrn_relu" type: "ReLU" bottom: "lrn" top: "lrn" }
layer { name: "flat" type: "Flatten" bottom: "lrn" top: "flat" }
layer { name: "flat_sigmoid" type: "Sigmoid" bottom: "flat" top: "flat" }
layer { name: "fc" type: "InnerProduct" bottom: "flat" top: "fc" inner_product_param { num_output: 4 } }
layer { name: "fc_bn" type: "BatchNorm" bottom: "fc" top: "fc" }
layer { name: "fc_scale" type: "Scale" bottom: "fc" top: "fc" }
layer { name: "fc_prelu" type: "PReLU" bottom: "fc" top: "fc" }
layer { name: "bn" type: "BatchNorm" bottom: "fc" top: "fc" }
layer { name: "bn_relu" type: "ReLU" bottom: "fc" top: "fc" }
layer { name: "sum" type: "Eltwise" bottom: "fc" bottom: "fc" top: "sum" }
layer { name: "weighted" type: "ReLU" bottom: "sum" top: "sum" loss_weight: 1 }
"""

CASES = {
    "lenet_train": (LENET, Phase.TRAIN, {"observe": True}),
    "lenet_train_arena": (LENET, Phase.TRAIN, {"observe": False}),
    "lenet_test": (LENET, Phase.TEST, {"observe": False, "backward": False}),
    "lenet_unfused": (LENET, Phase.TRAIN, {"observe": True, "fuse": False}),
    "residual_train": (RESNET, Phase.TRAIN, {"observe": True}),
    "residual_train_arena": (RESNET, Phase.TRAIN, {"observe": False}),
    "residual_test": (RESNET, Phase.TEST, {"observe": False, "backward": False}),
    "inplace_train": (INPLACE, Phase.TRAIN, {"observe": True}),
    "inplace_train_arena": (INPLACE, Phase.TRAIN, {"observe": False}),
}


def text_of(planned: Callable[..., Plan], name: str) -> str:
    net, phase, options = CASES[name]
    return str(planned(net, phase, **options)) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_golden(planned, name: str) -> None:
    path, text = FOLDER / f"{name}.txt", text_of(planned, name)
    if os.environ.get("CAFFELITE_REWRITE_GOLDEN"):
        FOLDER.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"the plan of {name} has changed; see the top of this file"


def changed(planned: Callable[..., Plan]) -> set[str]:
    return {name for name in CASES if text_of(planned, name) != (FOLDER / f"{name}.txt").read_text()}


def test_golden_plans_show_layouts(planned, monkeypatch) -> None:
    monkeypatch.setattr(build, "choose_layouts", lambda graph, wanted: dict.fromkeys(graph.values, "plain"))
    assert changed(planned) >= {"lenet_train", "residual_train"}


def test_golden_plans_show_fusion(planned, monkeypatch) -> None:
    monkeypatch.setattr(choose, "_post", lambda *args: None)
    assert changed(planned) >= {"lenet_train", "lenet_test", "residual_train_arena", "inplace_train"}
    assert "lenet_unfused" not in changed(planned)


def test_golden_plans_show_reuse(planned, monkeypatch) -> None:
    def one_after_another(buffers: list[Buffer]) -> int:
        end = 0
        for buffer in buffers:
            buffer.offset, end = end, end + buffer.nbytes
        return end

    monkeypatch.setattr(build, "assign_offsets", one_after_another)
    assert changed(planned) == {name for name in CASES if not CASES[name][2]["observe"]}


def test_golden_plans_show_in_place_writes(planned, monkeypatch) -> None:
    monkeypatch.setattr("caffelite.plan.place.Placer._grant", lambda *args: None)
    assert changed(planned) >= {"residual_train", "inplace_train"}


def test_golden_plans_show_views(planned, monkeypatch) -> None:
    monkeypatch.setattr(choose, "is_view", lambda *args: False)
    assert changed(planned) >= {"lenet_test", "residual_train", "inplace_train"}
