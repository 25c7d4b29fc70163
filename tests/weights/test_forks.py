"""Weight files of Caffe's forks: numbers that mean something else to BVLC Caffe, half precision, other orders."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.weights import load_state, load_weights, wire
from caffelite.weights.batch_norm import read_normalization
from caffelite.weights.blob import encode_blob

W = np.arange(6, dtype=np.float32).reshape(2, 3)
SHAPE = wire.string(7, wire.string(1, b"\2\3"))
PLAIN = b"".join(map(bytes, encode_blob(W)))
FLOAT32 = b"\x0d" + np.float32(3).tobytes()  # field 1


def raw(dtype: str, code: int) -> bytes:
    """NVCaffe's BlobProto: raw_data_type and raw_data."""
    return SHAPE + wire.integer(10, code) + wire.string(12, W.astype(dtype).tobytes())


def caffemodel(blob: bytes, more: bytes = b"", net: bytes = b"") -> bytes:
    head = wire.string(1, "ip") + wire.string(2, "InnerProduct") + wire.string(3, "x") + wire.string(4, "y")
    return net + wire.string(100, head + more + wire.string(7, blob))


@pytest.mark.parametrize(
    "more",
    [
        wire.string(
            148, FLOAT32
        ),  # Intel, Microsoft: smooth_l1_loss_param, which BVLC takes for a Clip without max
        wire.string(147, wire.integer(1, 7) + wire.integer(2, 7)),  # Microsoft: roi_pooling_param
        wire.integer(147, 2) + wire.integer(148, 2),  # NVCaffe: forward_math, backward_math
        wire.string(149, "MKLDNN:CAFFE") + wire.string(150, wire.integer(1, 4)),  # Intel: engine, multinode
        wire.string(143, wire.integer(1, 5) + wire.integer(2, 6)),  # PSPNet: interp_param
        wire.string(137, wire.integer(1, 2)),  # SegNet: upsample_param
        wire.string(8266711, wire.integer(1, 7)),  # Fast R-CNN: roi_pooling_param
        wire.string(200, b"\xff\xff"),  # not even a message
    ],
)
def test_layer_parameters_of_any_fork_are_passed_over(tmp_path, more):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffemodel(PLAIN, more, wire.integer(11, 2) + wire.string(9, "MKLDNN")))
    (ip,) = load_weights(path)
    assert (ip.name, ip.type, ip.bottoms, ip.tops) == ("ip", "InnerProduct", ["x"], ["y"])
    np.testing.assert_array_equal(ip.blobs[0], W)


@pytest.mark.parametrize(("dtype", "code"), [("<f8", 0), ("<f4", 1), ("<f2", 2)])
def test_raw_memory_in_models_and_solver_states(tmp_path, dtype, code):
    model, state = tmp_path / "net.caffemodel", tmp_path / "net.solverstate"
    model.write_bytes(caffemodel(raw(dtype, code)))
    np.testing.assert_array_equal(load_weights(model)[0].blobs[0], W)
    state.write_bytes(
        wire.integer(1, 100) + wire.string(2, "net.caffemodel") + wire.string(3, raw(dtype, code))
    )
    np.testing.assert_array_equal(load_state(state).history[0], W)


# -- batch normalization -------------------------------------------------------------------------------------------

PARTS = {
    "mean": np.float32([1, 2]),
    "variance": np.float32([3, 4]),
    "factor": np.float32([5]),
    "scale": np.float32([6, 7]),
    "bias": np.float32([8, 9]),
}
BVLC = "mean variance factor"


@pytest.mark.parametrize(
    ("type_", "order", "old"),
    [
        ("BatchNorm", BVLC, False),
        ("", BVLC, False),
        ("BatchNorm", f"{BVLC} scale", False),
        ("BatchNorm", f"{BVLC} scale bias", False),
        ("BatchNorm", "scale bias mean variance factor", True),
        ("", "scale bias mean variance factor", True),
        ("BN", "scale bias mean variance", False),
        ("", "scale bias mean variance", False),
    ],
)
@pytest.mark.parametrize("shape", [(2,), (1, 2, 1, 1)])
def test_orders(type_, order, old, shape):
    blobs = [PARTS[name].reshape(shape if name != "factor" else (1,)) for name in order.split()]
    found = read_normalization(type_, blobs)
    assert found.old_order is old
    assert found.factor == (5 if "factor" in order else 1)
    for name in ("mean", "variance", "scale", "bias"):
        if name in order:
            np.testing.assert_array_equal(getattr(found, name), PARTS[name])
        else:
            assert getattr(found, name) is None


def test_averages():
    found = read_normalization("BatchNorm", list(PARTS.values())[:3]).averages()
    np.testing.assert_allclose(found.mean, [0.2, 0.4])
    np.testing.assert_allclose(found.variance, [0.6, 0.8])
    assert found.factor == 1 and found.averages() is found


def test_one_channel_is_taken_to_be_in_todays_order():
    blobs = [np.float32([value]) for value in range(5)]
    assert read_normalization("BatchNorm", blobs).order == (*BVLC.split(), "scale", "bias")
    assert read_normalization("BN", blobs[:4]).order == ("scale", "bias", "mean", "variance")


@pytest.mark.parametrize("sizes", [[], [2], [2, 2], [2, 2, 2], [2, 3, 1], [2, 2, 1, 3], [2] * 5, [2] * 6])
def test_blobs_of_something_else(sizes):
    assert read_normalization("BatchNorm", [np.zeros(size, np.float32) for size in sizes]) is None


def test_a_blob_that_is_not_there():
    assert read_normalization("BatchNorm", [PARTS["mean"], None, PARTS["factor"]]) is None
