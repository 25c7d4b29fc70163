"""Packed parameters: one form for all plans and nets that want the same."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from caffelite.cpu import onednn
from caffelite.cpu.kernel import PackedGradient, PackedParam, packed_gradient, packed_param
from caffelite.cpu.onednn import MemoryDesc
from caffelite.model import Model
from caffelite.params import Param
from caffelite.prototxt.source import parse_net

pytestmark = pytest.mark.skipif(onednn.available() is not None, reason="needs oneDNN")

SHAPE = (4, 3, 2, 2)
NET = """
layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 2 dim: 16 dim: 9 dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y" loss_weight: 1
  convolution_param { num_output: 16 kernel_size: 3 weight_filler { type: "msra" } } }
"""


def plain_and_packed() -> tuple[MemoryDesc, MemoryDesc]:
    return MemoryDesc.of(SHAPE), MemoryDesc.channels_last(SHAPE)


def test_equal_layouts_hash_alike() -> None:
    plain, packed = plain_and_packed()
    assert hash(plain) == hash(MemoryDesc.of(SHAPE))
    assert len({plain, packed, MemoryDesc.of(SHAPE), MemoryDesc.channels_last(SHAPE)}) == 2


def test_what_kernels_share() -> None:
    param, (plain, packed) = Param.zeros(SHAPE), plain_and_packed()
    one = packed_param(param, plain, packed)
    assert packed_param(param.twin(), MemoryDesc.of(SHAPE), MemoryDesc.channels_last(SHAPE)) is one
    assert packed_param(param, plain, plain) is not one
    assert packed_param(Param.zeros(SHAPE), plain, packed) is not one
    gradient = packed_gradient(param, plain, packed)
    assert packed_gradient(param, plain, packed) is gradient
    assert packed_gradient(param.twin(), plain, packed) is not gradient


def test_a_change_reaches_all_who_share() -> None:
    param, (plain, packed) = Param.zeros(SHAPE), plain_and_packed()
    one = packed_param(param, plain, packed)
    one.refresh()
    param.load(np.ones(SHAPE, np.float32))
    packed_param(param.twin(), plain, packed).refresh()
    assert (one.memory.array.view(np.float32) == 1).all()


def test_nothing_is_kept_for_itself() -> None:
    param, (plain, packed) = Param.zeros(SHAPE), plain_and_packed()
    key = param.identity
    packed_param(param, plain, packed)
    from caffelite.cpu import kernel

    assert not [known for known in kernel._params if known[0] == key]


def test_plans_of_many_shapes_pack_once() -> None:
    """Else a net that has met many sizes holds its weights many times."""
    net = Model(parse_net(NET), 0, seed=1)
    counts = []
    for size in range(5, 12):
        net.reshape({"x": (2, 16, size, size)})
        net.forward()
        net.backward()
        gc.collect()
        counts.append(sum(isinstance(o, PackedParam | PackedGradient) for o in gc.get_objects()))
    assert counts[-1] == counts[0]


def test_a_training_and_a_test_net_share_packed_weights() -> None:
    train = Model(parse_net(NET), 0, seed=1)
    train.forward()
    test = Model(parse_net(NET), 1, share=train)
    test.input("x")[...] = train.input("x")[...] = np.random.default_rng(0).random((2, 16, 9, 9))
    for value in (1, 2):
        train.params["conv"][0].load(np.full((16, 16, 3, 3), value, np.float32))
        train.forward()
        test.forward()
        np.testing.assert_array_equal(train.blob("y"), test.blob("y"))
        np.testing.assert_allclose(
            test.blob("y")[0, 0, 0, 0], value * test.input("x")[0, :, :3, :3].sum(), 1e-4
        )
