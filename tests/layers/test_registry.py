"""From layer types to classes: users' layers, types of elsewhere, and files that do not import."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import numpy as np
import pytest

from caffelite.errors import NetError, UnknownNameError, UsageError
from caffelite.layers import registry
from caffelite.layers.base import Layer
from caffelite.layers.relu import ReLU
from caffelite.model import Model
from caffelite.prototxt.layer_names import _TYPES, OTHER_NAMES, home_of
from caffelite.prototxt.source import parse_net


class Bad(Layer):
    """Fails in both passes."""

    bottoms = ("x",)
    tops = ("y",)
    wrong = "forward"

    def infer(self, bottoms: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        return bottoms

    def forward(self, x: np.ndarray, y: np.ndarray) -> None:
        y[...] = x
        if self.wrong == "forward":
            raise ZeroDivisionError("oh")

    def backward(self, dy: np.ndarray, dx: np.ndarray) -> None:
        raise ZeroDivisionError("oh")


@pytest.fixture(autouse=True)
def users(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_users", {})
    yield


def test_a_shipped_type_is_replaced_only_on_request() -> None:
    with pytest.raises(UsageError, match="replace=True"):
        registry.register("ReLU", Bad)
    assert registry.lookup("ReLU") is ReLU
    registry.register("ReLU", Bad, replace=True)
    assert registry.lookup("ReLU") is Bad


def test_a_users_type_may_be_registered_again() -> None:
    registry.register("Mine", Bad)
    registry.register("Mine", ReLU)
    assert registry.lookup("Mine") is ReLU


@pytest.mark.parametrize(
    "type_, home", [("WindowData", "BVLC Caffe"), ("PriorBox", "SSD"), ("Mine", ""), ("ReLU", "BVLC Caffe")]
)
def test_homes_of_types(type_: str, home: str) -> None:
    assert home_of(type_) == home


def test_all_types_of_bvlc_are_known() -> None:
    assert len(_TYPES["BVLC Caffe"].split()) == 61


def test_a_type_of_a_fork_says_which() -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry.lookup("MultiBoxLoss", name="mbox")
    assert str(caught.value) == (
        "layer 'mbox': 'MultiBoxLoss' is a layer of SSD that caffelite does not have yet (what is there: caffelite layers)"
    )


@pytest.mark.parametrize(
    ("type_", "meant"),
    [
        ("SoftmaxLoss", "SoftmaxWithLoss"),
        ("SOFTMAX_LOSS", "SoftmaxWithLoss"),
        ("Conv", "Convolution"),
        ("FullyConnected", "InnerProduct"),
        ("FC", "InnerProduct"),
        ("BatchNormalization", "BatchNorm"),
        ("Pool", "Pooling"),
        ("Relu", "ReLU"),
        ("Bn", "BN"),
        ("Convolutoin", "Convolution"),
    ],
)
def test_other_names_of_types_are_known(type_: str, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown type '{type_}'; did you mean '{meant}'\\?"):
        registry.lookup(type_)


def test_all_aliases_lead_to_types() -> None:
    types = set(registry.layer_types())
    assert set(OTHER_NAMES.values()) <= types and not types & set(OTHER_NAMES)


def test_a_file_that_does_not_import_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise SyntaxError("invalid syntax")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(NetError, match=r"layer file '.*relu\.py' cannot be imported: SyntaxError: invalid"):
        registry.lookup("ReLU")


@pytest.mark.parametrize("which", ["forward", "backward"])
def test_what_a_users_layer_raises_names_the_layer(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.register("Bad", Bad)
    monkeypatch.setattr(Bad, "wrong", which)
    text = (
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 2 } } }\n'
        'layer { name: "b" type: "Bad" bottom: "d" top: "y" loss_weight: 1 }'
    )
    net = Model(parse_net(text, "net.prototxt"), force_backward=True)
    with pytest.raises(ZeroDivisionError) as caught:
        net.forward()
        net.backward()
    assert caught.value.__notes__ == [f"in {which} of layer 'b' (Bad) at net.prototxt:2:1"]
