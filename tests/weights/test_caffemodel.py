"""Binary models: all generations of the format, damage at every byte, and files that BVLC Caffe wrote."""

from __future__ import annotations

import os

import numpy as np
import pytest

from caffelite.errors import MissingFileError, SnapshotError, WeightsError
from caffelite.weights import LayerRecord, caffemodel, load_weights, read_caffemodel, wire, write_caffemodel
from caffelite.weights.blob import encode_blob

W = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.array([0.5, -0.5], np.float32)


def blob(array, number: int = 7) -> bytes:
    return wire.string(number, b"".join(map(bytes, encode_blob(array))))


def legacy_blob(array, number: int) -> bytes:
    dims = (1,) * (4 - array.ndim) + array.shape
    shape = b"".join(wire.integer(axis, dim) for axis, dim in enumerate(dims, 1))
    return wire.string(number, shape + wire.string(5, array.tobytes()))


def message(name: str, type_: str) -> bytes:
    return wire.string(1, name) + wire.string(2, type_)


V2_LAYERS = (
    wire.string(100, message("data", "Input")),
    wire.string(100, blob(W) + message("ip", "InnerProduct") + blob(B) + wire.integer(10, 1)),
)
V2 = wire.string(1, "net") + b"".join(V2_LAYERS)
V1 = wire.string(1, "net") + b"".join(
    wire.string(2, layer)
    for layer in (
        wire.string(4, "data") + wire.integer(5, 5),
        wire.string(4, "ip") + wire.integer(5, 14) + legacy_blob(W, 6) + legacy_blob(B, 6),
    )
)
V0 = wire.string(1, "net") + b"".join(
    wire.string(2, wire.string(1, layer) + wire.string(2, "bottom"))
    for layer in (
        wire.string(1, "data") + wire.string(2, "input"),
        wire.string(1, "ip") + wire.string(2, "innerproduct") + legacy_blob(W, 50) + legacy_blob(B, 50),
    )
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.caffemodel"


@pytest.mark.parametrize(
    ("data", "legacy", "first"),
    [(V2, False, ("data", "Input")), (V1, True, ("data", "Data")), (V0, True, ("data", "input"))],
    ids=["V2", "V1", "V0"],
)
def test_every_generation_of_the_format(path, data, legacy, first):
    path.write_bytes(data)
    data_layer, ip = read_caffemodel(path)
    assert (data_layer.name, data_layer.type) == first
    assert data_layer.blobs == []
    assert (ip.name, ip.type, ip.legacy) == ("ip", "InnerProduct", [legacy, legacy])
    assert ip.blobs[0].shape == ((1, 1, 2, 3) if legacy else (2, 3))
    np.testing.assert_array_equal(ip.blobs[0].ravel(), W.ravel())
    np.testing.assert_array_equal(ip.blobs[1].ravel(), B)


@pytest.mark.parametrize(
    ("number", "type_"), [(4, "Convolution"), (39, "Deconvolution"), (0, ""), (44, "V1:44")]
)
def test_v1_types_are_numbers(path, number, type_):
    path.write_bytes(wire.string(2, wire.string(4, "a") + wire.integer(5, number)))
    assert read_caffemodel(path)[0].type == type_


def test_both_generations_in_one_file(path):
    path.write_bytes(V2 + V1)
    with pytest.raises(WeightsError, match="either 'layer' or 'layers'"):
        read_caffemodel(path)


def test_a_misfit_names_layer_and_blob(path):
    bad = wire.string(7, wire.string(7, wire.string(1, b"\2\2")) + wire.string(5, W.tobytes()))
    path.write_bytes(wire.string(100, message("ip", "InnerProduct") + blob(B) + bad))
    with pytest.raises(WeightsError) as caught:
        read_caffemodel(path)
    assert str(caught.value) == (
        f"'{path}': expected blob 1 of layer 'ip' (InnerProduct) with shape 2 2 (4) to hold 4 numbers, got 6"
    )


@pytest.mark.parametrize("data", [V2, V1, V0], ids=["V2", "V1", "V0"])
def test_cut_short_at_every_byte(path, data):
    """Either an error that says so, or (at the border of two layers) the layers that are there."""
    whole = []
    for size in range(len(data)):
        path.write_bytes(data[:size])
        try:
            whole.append((size, len(read_caffemodel(path))))
        except WeightsError as error:
            assert str(path) in str(error)
    assert [count for _, count in whole] == [1]


def test_every_flipped_byte_is_an_error_or_a_readable_file(path):
    for at in range(len(V2)):
        path.write_bytes(V2[:at] + bytes([V2[at] ^ 0x5A]) + V2[at + 1 :])
        try:
            load_weights(path)
        except WeightsError as error:
            assert str(path) in str(error)


def test_where_a_file_was_cut(path):
    path.write_bytes(V2[:-10])
    with pytest.raises(WeightsError) as caught:
        read_caffemodel(path)
    start = len(V2) - len(V2_LAYERS[1])
    assert str(caught.value).startswith(
        f"'{path}' is damaged at byte {start} (after layer 1, 'data'): "
        f"cut short: this field goes on to byte {len(V2)}, the file ends at byte {len(V2) - 10}\n"
    )


def test_a_missing_file(path):
    with pytest.raises(MissingFileError, match="does not exist"):
        read_caffemodel(path)


def records(diffs=False):
    yield LayerRecord("data", message("data", "Input"))
    yield LayerRecord("ip", message("ip", "InnerProduct"), [W, B], [-W, -B] if diffs else None)


@pytest.mark.parametrize("diffs", [False, True])
def test_round_trip(path, diffs):
    write_caffemodel(path, "net", records(diffs))
    data, ip = read_caffemodel(path, diffs=True)
    assert (data.name, data.blobs) == ("data", [])
    np.testing.assert_array_equal(ip.blobs[0], W)
    np.testing.assert_array_equal(ip.blobs[1], B)
    assert ip.legacy == [False, False]
    if diffs:
        np.testing.assert_array_equal(ip.diffs[0], -W)
    else:
        assert ip.diffs == [None, None]


def test_protobuf_reads_what_is_written(path):
    schema = pytest.importorskip("caffelite.prototxt.schema")
    layer = schema.message("LayerParameter")(name="ip", type="InnerProduct", bottom=["data"], phase=0)
    layer.inner_product_param.num_output = 2
    record = LayerRecord("ip", layer.SerializeToString(), [W, B], [-W, -B])
    write_caffemodel(path, "net", [record])
    net = schema.message("NetParameter").FromString(path.read_bytes())
    assert net.name == "net"
    (ip,) = net.layer
    assert (ip.name, ip.type, ip.phase, ip.inner_product_param.num_output) == ("ip", "InnerProduct", 0, 2)
    assert list(ip.blobs[0].shape.dim) == [2, 3]
    np.testing.assert_array_equal(ip.blobs[0].data, W.ravel())
    np.testing.assert_array_equal(ip.blobs[1].diff, -B)


def test_what_protobuf_writes_is_read(path):
    schema = pytest.importorskip("caffelite.prototxt.schema")
    net = schema.message("NetParameter")(name="net")
    layer = net.layer.add(name="ip", type="InnerProduct")
    layer.blobs.add(data=W.ravel(), shape={"dim": W.shape})
    old = net.layer.add(name="old", type="InnerProduct").blobs.add(double_data=W.ravel())
    old.num, old.channels, old.height, old.width = 1, 1, 2, 3
    path.write_bytes(net.SerializeToString())
    ip, old_layer = read_caffemodel(path)
    np.testing.assert_array_equal(ip.blobs[0], W)
    np.testing.assert_array_equal(old_layer.blobs[0], W[None, None])
    assert (ip.legacy, old_layer.legacy) == ([False], [True])


def test_more_than_protobuf_can_read_is_refused(path, monkeypatch):
    path.write_bytes(b"old")
    monkeypatch.setattr(caffemodel, "MAX_MESSAGE_BYTES", 60)
    with pytest.raises(
        SnapshotError, match=r"layer 'ip' exceeds .* of 60 bytes\n  Fix: set snapshot_format: HDF5"
    ):
        write_caffemodel(path, "net", records())
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_layers_are_written_one_by_one(path):
    def failing():
        yield LayerRecord("ip", message("ip", "InnerProduct"), [W, B])
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        write_caffemodel(path, "net", failing())
    assert os.listdir(path.parent) == []


def test_no_second_copy_of_the_arrays(path):
    """Reading 64 MB of blobs needs at most a fifth more memory than the blobs."""
    tracemalloc = pytest.importorskip("tracemalloc")
    rows = np.ones((64, 64, 1024), np.float32)
    write_caffemodel(
        path, "net", [LayerRecord(str(i), message(str(i), "Bias"), [row]) for i, row in enumerate(rows)]
    )
    del rows
    tracemalloc.start()
    try:
        layers = read_caffemodel(path)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(layer.blobs[0].nbytes for layer in layers) == 64 * 64 * 1024 * 4
    assert peak < 1.2 * 64 * 64 * 1024 * 4
    assert kept <= peak


SOLVER_RUNS = ["sgd_fixed", "nesterov_step", "adam_wd_clip", "sgd_l1", "adadelta_wd"]


@pytest.mark.parametrize("run", SOLVER_RUNS)
@pytest.mark.parametrize("iteration", [10, 20])
def test_snapshots_by_caffe_hold_the_weights_of_the_run(shared, run, iteration):
    folder = shared / "golden" / "solvers" / run
    (file,) = folder.glob(f"snap_iter_{iteration}.caffemodel*")
    trajectory = np.load(folder / "trajectory.npz")
    seen = 0
    for layer in load_weights(file):
        for index, array in enumerate(layer.blobs):
            np.testing.assert_array_equal(array, trajectory[f"iter{iteration}_{layer.name}_{index}"])
            seen += 1
    assert seen == 4


PARAMETERS = {
    "aod_net_dehaze": 1761,
    "cifar10_quick_everpeace_5000": 145578,
    "lenet_ethereon": 431080,
    "lenet_everpeace_10000": 431080,
    "mtcnn_det1": 6632,
    "mtcnn_det2": 101468,
    "mtcnn_det3": 389040,
    "siamese_itortoise_40000": 862204,
    "resnet20_cifar": 274847,
}


@pytest.mark.parametrize("model", PARAMETERS)
def test_published_models_load(shared, model):
    layers = load_weights(shared / "models" / model / "weights.caffemodel")
    assert sum(array.size for layer in layers for array in layer.blobs) == PARAMETERS[model]
    assert all(np.isfinite(array).all() for layer in layers for array in layer.blobs)


def test_a_published_model_of_the_v1_format(shared):
    layers = load_weights(shared / "models" / "lenet_everpeace_10000" / "weights.caffemodel")
    types = {layer.name: layer.type for layer in layers}
    assert (types["conv1"], types["ip1"], types["loss"]) == ("Convolution", "InnerProduct", "SoftmaxWithLoss")
    ip1 = next(layer for layer in layers if layer.name == "ip1")
    assert [array.shape for array in ip1.blobs] == [(1, 1, 500, 800), (1, 1, 1, 500)]
    assert ip1.legacy == [True, True]
