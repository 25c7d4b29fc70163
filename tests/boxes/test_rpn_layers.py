"""The built-in Python layers: names, parameters, cfg, shapes; they compute what the layer types do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffelite.boxes.config import cfg
from caffelite.errors import UsageError
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.python_layer import KeyedLayer
from caffelite.random import RandomSource


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    before = cfg.copied()
    yield
    cfg.restore(before)


def net(bottoms: dict[str, tuple[int, ...]], layers: str, phase: int = 0, **options: Any) -> Model:
    inputs = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {" ".join(f"dim: {d}" for d in shape)} }} }} }}\n'
        for name, shape in bottoms.items()
    )
    return Model(parse_net(inputs + layers), phase, **options)


def python(module: str, layer: str, text: str, bottoms: str, tops: str, name: str = "layer") -> str:
    blobs = (
        " ".join(f'bottom: "{b}"' for b in bottoms.split())
        + " "
        + " ".join(f'top: "{t}"' for t in tops.split())
    )
    return (
        f'layer {{ name: "{name}" type: "Python" {blobs} python_param {{ module: "{module}" layer: "{layer}"'
        f' param_str: "{text}" }} }}\n'
    )


SHAPES = {"s": (1, 24, 4, 5), "d": (1, 48, 4, 5), "i": (1, 3)}
COCO = r"'feat_stride': 16 \n'scales': !!python/tuple [4, 8, 16, 32]"
NATIVE = "feat_stride: 16 scale: 4 scale: 8 scale: 16 scale: 32"


@pytest.mark.parametrize("phase", [0, 1])
def test_proposals_of_coco_without_any_file(phase: int) -> None:
    c = cfg[("TRAIN", "TEST")[phase]]
    c.RPN_PRE_NMS_TOP_N, c.RPN_POST_NMS_TOP_N, c.RPN_MIN_SIZE = 150, 20 + phase, 20
    text = python("rpn.proposal_layer", "ProposalLayer", COCO, "s d i", "rois scores")
    param = f"{NATIVE} pre_nms_topn: 150 post_nms_topn: {20 + phase} min_size: 20"
    text += f'layer {{ name: "n" type: "Proposal" bottom: "s" bottom: "d" bottom: "i" top: "r" top: "b" proposal_param {{ {param} }} }}'
    model = net(SHAPES, text, phase)
    assert [model.blob(name).shape for name in ("rois", "scores")] == [(1, 5), (1, 1, 1, 1)]
    rng = np.random.default_rng(0)
    model.input("s")[...] = rng.random(SHAPES["s"])
    model.input("d")[...] = rng.normal(0, 0.3, SHAPES["d"])
    model.input("i")[...] = [[64, 80, 1]]
    model.forward()
    assert len(model.blob("rois")) == 20 + phase
    assert (model.blob("rois") == model.blob("r")).all()
    assert (model.blob("scores") == model.blob("b")).all()


def test_targets_of_anchors_and_proposals() -> None:
    cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.FG_FRACTION = 1000, 1.0  # all, so that nothing is drawn
    cfg.TRAIN.BG_THRESH_LO = 0.0
    cfg.TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED = True
    shapes = {**SHAPES, "g": (2, 5), "data": (1, 3, 64, 80), "p": (6, 5)}
    anchors, rest = "labels targets inside outside", "rois l2 t2 i2 o2"
    text = python(
        "rpn.anchor_target_layer",
        "AnchorTargetLayer",
        COCO + r" \n'allowed_border': 40",
        "s g i data",
        anchors,
        "a",
    )
    text += python("rpn.proposal_target_layer", "ProposalTargetLayer", "'num_classes': 3", "p g", rest, "b")
    tops = " ".join(f'top: "n_{name}"' for name in anchors.split())
    text += f'layer {{ name: "a2" type: "AnchorTarget" bottom: "s" bottom: "g" bottom: "i" {tops} anchor_target_param {{ {NATIVE} allowed_border: 40 batch_size: 1000 fg_fraction: 1 }} }}\n'
    tops = " ".join(f'top: "n_{name}"' for name in rest.split())
    std = "bbox_std: 0.1 bbox_std: 0.1 bbox_std: 0.2 bbox_std: 0.2"
    text += f'layer {{ name: "b2" type: "ProposalTarget" bottom: "p" bottom: "g" {tops} proposal_target_param {{ num_classes: 3 batch_size: 1000 fg_fraction: 1 {std} }} }}'
    cfg.TRAIN.RPN_BATCHSIZE, cfg.TRAIN.RPN_FG_FRACTION = 1000, 1.0
    model = net(shapes, text)
    assert [model.blob(name).shape for name in anchors.split()] == [(1, 1, 48, 5)] + [(1, 48, 4, 5)] * 3
    assert [model.blob(name).shape for name in rest.split()] == [(1, 5), (1, 1)] + [(1, 12)] * 3
    model.input("g")[...] = [[2, 3, 50, 40, 2], [20, 20, 70, 60, 1]]
    model.input("p")[...] = np.insert(
        model.input("g")[:1, :4].repeat(6, axis=0) + np.arange(6)[:, None], 0, 0, axis=1
    )
    model.input("i")[...] = [[64, 80, 1]]
    model.forward()
    assert (model.blob("labels") == 1).any()
    assert model.blob("l2").shape == (8,)
    for name in anchors.split() + rest.split():
        assert (model.blob(name) == model.blob(f"n_{name}")).all(), name
    assert abs(model.blob("t2")).max() > 0


def test_the_choice_is_keyed_and_resumes() -> None:
    text = python(
        "rpn.anchor_target_layer",
        "AnchorTargetLayer",
        "{feat_stride: 16, ratios: [1], scales: [1]}",
        "s g i",
        "l t n o",
    )
    shapes = {"s": (1, 2, 9, 9), "g": (1, 5), "i": (1, 3)}

    def labels(passes: int, seed: int = 1, state: Any = None) -> tuple[list[np.ndarray], Any]:
        cfg.TRAIN.RPN_BATCHSIZE = 10
        model = net(shapes, text, seed=seed)
        if state:
            model.restore(state)
        model.input("g")[...], model.input("i")[...] = [[0, 0, 15, 15, 1]], [[144, 144, 1]]
        found = []
        for _ in range(passes):
            model.forward()
            found.append(model.blob("l").copy())
        return found, model.state_dict()

    whole, _ = labels(4)
    first, state = labels(2)
    rest, _ = labels(2, state=state)
    assert all((a == b).all() for a, b in zip(whole, first + rest, strict=True))
    assert (whole[0] != whole[1]).any()
    assert (labels(1, seed=2)[0][0] != whole[0]).any()


def test_no_gradient_goes_down() -> None:
    text = """
layer { name: "c" type: "Convolution" bottom: "x" top: "s" convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "e" type: "Convolution" bottom: "x" top: "d" convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "gaussian" std: 0.1 } } }
"""
    text += python(
        "rpn.proposal_layer", "ProposalLayer", "{feat_stride: 16, ratios: [1], scales: [1]}", "s d i", "rois"
    )
    text += """
layer { name: "r" type: "ROIPooling" bottom: "x" bottom: "rois" top: "y" roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.0625 } }
layer { name: "f" type: "InnerProduct" bottom: "y" top: "f" inner_product_param { num_output: 1 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "l" type: "Reduction" bottom: "f" top: "l" loss_weight: 1 }
"""
    model = net({"x": (1, 3, 6, 6), "i": (1, 3)}, text)
    model.input("x")[...] = np.random.default_rng(0).normal(size=(1, 3, 6, 6))
    model.input("i")[...] = [[96, 96, 1]]
    for _ in range(2):
        model.forward()
        model.clear_grads()
        model.backward()
        assert not model.params["c"][0].grad.any()
        assert model.params["f"][0].grad.any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'feature_stride': 16", "param_str: unknown 'feature_stride'; did you mean 'feat_stride'"),
        ("'scales': [1]", "param_str: expected 'feat_stride'"),
        ("'feat_stride': 16", r"expected 18 channels of scores for 9 anchors, got \(1, 24, 4, 5\)"),
        ("'feat_stride': [", "param_str:1:17: expected YAML"),
    ],
)
def test_bad_parameters(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        net(SHAPES, python("rpn.proposal_layer", "ProposalLayer", text, "s d i", "rois"))
    assert any("layer 'layer' (Python)" in note for note in caught.value.__notes__)


OWN = """
import caffe


class ProposalLayer(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(1, 5)

    def forward(self, bottom, top):
        top[0].data[...] = 42
"""


def test_a_users_own_module_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (tmp_path / "rpn").mkdir()
    (tmp_path / "rpn" / "__init__.py").write_text("")
    (tmp_path / "rpn" / "proposal_layer.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = python("rpn.proposal_layer", "ProposalLayer", "", "s d i", "rois")
    try:
        model = net(SHAPES, text)
        model.forward()
        assert (model.blob("rois") == 42).all()
        # the package has no other module, so the built-in one is taken
        net(
            {"p": (1, 5), "g": (1, 5)},
            python(
                "rpn.proposal_target_layer", "ProposalTargetLayer", "'num_classes': 2", "p g", "a b c d e"
            ),
        )
        for name in [name for name in sys.modules if name.split(".")[0] == "rpn"]:
            del sys.modules[name]
        (tmp_path / "rpn" / "proposal_layer.py").write_text("print 'Python 2'")
        with pytest.raises(SyntaxError) as caught:
            net(SHAPES, text)
        assert any("caffelite has this module built in" in note for note in caught.value.__notes__)
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "rpn"]:
            del sys.modules[name]


def test_a_keyed_layer_of_ones_own() -> None:
    layer = KeyedLayer()
    layer.random = RandomSource(3)
    assert layer.state() == {}
    layer.restore({})
