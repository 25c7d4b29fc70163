"""pycaffe's Net: arguments, private tables, many items, MemoryData, copies, threads, seeds."""

from __future__ import annotations

import copy
import inspect
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

import caffelite as caffe
from caffelite.errors import ArgumentTypeError, CaffeliteError, UsageError

from .conftest import DATA

# -- arguments -------------------------------------------------------------------------------------------------


def test_signatures() -> None:
    """Names and order are pycaffe's; what is ours comes after, by keyword."""
    want = {
        caffe.Net.__init__: "self network_file phase level stages weights",
        caffe.Net.forward: "self blobs start end kwargs",
        caffe.Net.backward: "self diffs start end kwargs",
        caffe.Net.forward_all: "self blobs kwargs",
        caffe.Net.forward_backward_all: "self blobs diffs kwargs",
        caffe.Net.set_input_arrays: "self data labels",
    }
    for function, names in want.items():
        parameters = list(inspect.signature(function).parameters)
        assert parameters[: len(names.split())] == names.split()
    own = list(inspect.signature(caffe.Net.__init__).parameters.values())[6:]
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in own)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((2,), r"phase: expected caffe.TRAIN \(0\) or caffe.TEST \(1\), got 2"),
        ((1, "w.caffemodel"), "level: expected a whole number.*\n.*weights='w.caffemodel'"),
        ((1, 0.5), "level: expected a whole number, got 0.5"),
        ((1, 0, "deploy"), "stages: expected a list of strings, got 'deploy'"),
        ((1, 0, [3]), r"stages: expected a list of strings, got \[3\]"),
    ],
)
def test_wrong_arguments(file: str, arguments: tuple, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        caffe.Net(file, *arguments)


def test_errors_are_also_what_scripts_catch(file: str, net: caffe.Net) -> None:
    """pycaffe raises RuntimeError for files and Exception, TypeError or ValueError for arguments; never ends the process."""
    for error, call in (
        (RuntimeError, lambda: caffe.Net("nowhere.prototxt", 1)),
        (RuntimeError, lambda: net.copy_from("nowhere.caffemodel")),
        (OSError, lambda: net.save("/nowhere/x.caffemodel")),
        (TypeError, lambda: net.share_with(3)),
        (TypeError, lambda: net.forward("fc")),
        (ValueError, lambda: net.forward(end="nowhere")),
        (KeyError, lambda: net.forward(["nowhere"])),
        (ValueError, lambda: caffe.init_log(9)),
        (AttributeError, lambda: setattr(net.blobs["fc"], "data", 1)),
        (AttributeError, lambda: setattr(net.blobs["fc"], "diff", 1)),
        (AttributeError, lambda: setattr(net.params["fc"][0], "data", 1)),
        (TypeError, lambda: net.before_forward(3)),
    ):
        with pytest.raises(error):
            call()


def test_passes_in_the_wrong_order(net: caffe.Net) -> None:
    with pytest.raises(UsageError, match="start 'fc' comes after end 'conv' in the net"):
        net.forward(start="fc", end="conv")
    with pytest.raises(UsageError, match="end 'fc' comes after start 'conv' in the net"):
        net.backward(start="conv", end="fc")


def test_layers_that_are_not_there(net: caffe.Net) -> None:
    with pytest.raises(UsageError, match="net 'net': layer 'cnv' is not in list; did you mean 'conv'"):
        net.forward(start="cnv")
    with pytest.raises(
        ValueError, match=r"'data' is not in list\n  Fix: 'data' is a blob, name its layer, 'scale'"
    ):
        net.backward(end="data")


def test_nothing_runs_before_the_names_are_right(net: caffe.Net) -> None:
    net.forward()
    net.blobs["loss"].data[...] = 9
    for call in (net.forward, net.backward):
        with pytest.raises(KeyError, match="no blob 'fcc'; did you mean 'fc'"):
            call(["fcc"])
    with pytest.raises(ArgumentTypeError, match=r"list of blob names, got 'fc'\n  Fix: \['fc'\]"):
        net.forward("fc")
    assert net.blobs["loss"].data == 9


# -- tables ----------------------------------------------------------------------------------------------------


def test_private_tables(net: caffe.Net) -> None:
    names = ["data", "label", "conv", "pool", "fc", "loss"]
    assert list(net._blob_names) == list(net.blobs) == names
    assert net._layer_names == list(net.top_names) == list(net.layer_dict) == list(net.bottom_names)
    assert [b.count for b in net._blobs] == [net.blobs[n].count for n in names]
    assert [names[i] for i in net._inputs] == net.inputs == ["data", "label"]
    assert [names[i] for i in net._outputs] == net.outputs == ["loss"]
    assert [[names[i] for i in net._top_ids(k)] for k in range(7)] == list(net.top_names.values())
    assert [[names[i] for i in net._bottom_ids(k)] for k in range(7)] == list(net.bottom_names.values())
    assert net._blob_loss_weights == list(net.blob_loss_weights.values()) == [0, 0, 0, 0, 0, 2]


def test_private_passes(net: caffe.Net) -> None:
    loss = net._forward(0, 6)
    assert loss == pytest.approx(2 * float(net.blobs["loss"].data))
    net._backward(6, 0)
    assert np.abs(net.blobs["data"].diff).max() > 0
    assert net._forward(0, 3) == 0


def test_tables_are_kept(net: caffe.Net) -> None:
    assert net.blobs is net.blobs and net.params is net.params
    assert list(net.params) == ["conv", "fc"] and [len(v) for v in net.params.values()] == [2, 2]


def test_vectors(net: caffe.Net) -> None:
    vector = net.params["conv"]
    assert isinstance(vector, caffe._caffe.BlobVec)
    assert len(vector) == 2 and [tuple(b.shape) for b in vector] == [(4, 3, 3, 3), (4,)]
    assert vector[-1].shape == (4,)
    free = caffe._caffe.BlobVec()
    free.add_blob(2, 3)
    free.append(vector[0])
    free.extend([vector[1]])
    assert [b.count for b in free] == [6, 108, 4]


def test_layers(net: caffe.Net) -> None:
    layer = net.layers[3]
    assert (layer.type, [b.count for b in layer.blobs]) == ("Convolution", [108, 4])
    layer.blobs[1].data[...] = 3
    assert (net.layer_dict["conv"].blobs[1].data == net.params["conv"][1].data).all()
    layer.setup([], [])
    layer.reshape([], [])


def test_what_it_prints_as(net: caffe.Net) -> None:
    assert repr(net) == "<Net 'net', TRAIN, 7 layers>"
    assert repr(net.blobs["conv"]) == "<ValueBlob (2, 4, 2, 3)>"
    assert repr(net.params["conv"][1]) == "<ParamBlob (4,)>"
    assert repr(net.layers[3]) == "<Layer Convolution>"


# -- many items ------------------------------------------------------------------------------------------------


def test_outputs_without_axes_give_one_value_a_batch(net: caffe.Net) -> None:
    data, label = np.concatenate([DATA, DATA]), np.array([0, 2, 1, 1])
    out = net.forward_all(data=data, label=label)
    assert out["loss"].shape == (2,)
    net.forward(data=data[2:], label=label[2:])
    assert out["loss"][1] == net.blobs["loss"].data


def test_as_many_items_of_each(net: caffe.Net) -> None:
    for call in (net.forward_all, net.forward_backward_all):
        with pytest.raises(UsageError, match="as many items, got {'data': 2, 'label': 3}"):
            call(data=DATA, label=np.zeros(3))


def test_batches(net: caffe.Net) -> None:
    batches = list(net._batch({"data": np.ones((5, 3, 4, 5)), "label": np.ones(5)}))
    assert [b["data"].shape[0] for b in batches] == [2, 2, 2]
    assert batches[2]["label"].tolist() == [1, 0] and not batches[2]["data"][1].any()


# -- MemoryData ------------------------------------------------------------------------------------------------


def test_input_arrays(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "m" type: "MemoryData" top: "data" top: "label" '
        "memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }"
    )
    net = caffe.Net(str(path), caffe.TRAIN)
    data, labels = np.random.rand(4, 3, 4, 5).astype(np.float32), np.arange(4, dtype=np.float32)
    net.set_input_arrays(data, labels)
    data[0] = 7  # references are kept
    for start in (0, 2, 0):
        net.forward()
        np.testing.assert_array_equal(net.blobs["data"].data, data[start : start + 2])
        assert net.blobs["label"].data.ravel().tolist() == [start, start + 1]
        assert net.blobs["label"].shape == (2, 1, 1, 1)
    for wrong, text in (
        ((data[:3], labels[:3]), "multiple of batch size 2"),
        ((data.astype(float), labels), "C-contiguous float32"),
        (
            (data[..., ::-1], labels),
            r"C-contiguous float32 .*not C-contiguous .*\n.*ascontiguousarray\(data, np",
        ),
        ((data[:, :2].copy(), labels), "data of shape"),
        ((data, labels[:2]), "4 labels"),
    ):
        with pytest.raises(RuntimeError, match=text):
            net.set_input_arrays(*wrong)


def test_input_arrays_of_several_layers(tmp_path: Path) -> None:
    layer = (
        'layer { name: "%s" type: "%s" top: "%s_data" top: "%s_label" memory_data_param '
        "{ batch_size: 1 channels: 1 height: 1 width: 2 } } "
    )
    path = tmp_path / "net.prototxt"
    path.write_text(layer % ("a", "MemoryData", "a", "a") + layer % ("b", "MemoryData", "b", "b"))
    net = caffe.Net(str(path), caffe.TRAIN)
    arrays = np.ones((1, 1, 1, 2), np.float32), np.zeros(1, np.float32)
    net.set_input_arrays(*arrays)
    with pytest.raises(RuntimeError, match=r"layer 'b' .*\n  Fix: call .*labels, layer='b'\)"):
        net.forward()
    net.set_input_arrays(2 * arrays[0], arrays[1], layer="b")
    net.forward()
    assert [net.blobs[f"{name}_data"].data.tolist() for name in "ab"] == [[[[[1, 1]]]], [[[[2, 2]]]]]
    with pytest.raises(UsageError, match="'c' is not in list"):
        net.set_input_arrays(*arrays, layer="c")


def test_input_arrays_of_another_layer(net: caffe.Net, tmp_path: Path) -> None:
    arrays = np.ones((1, 1, 1, 2), np.float32), np.zeros(1, np.float32)
    with pytest.raises(UsageError, match="may only be called if the first layer is a MemoryDataLayer$"):
        net.set_input_arrays(*arrays)
    with pytest.raises(UsageError, match="layer 'fc' is no MemoryData layer$"):
        net.set_input_arrays(*arrays, layer="fc")
    path = tmp_path / "late.prototxt"
    path.write_text(
        'layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 } } }'
        'layer { name: "m" type: "MemoryData" top: "data" top: "label" '
        "memory_data_param { batch_size: 1 channels: 1 height: 1 width: 2 } }"
    )
    with pytest.raises(UsageError, match=r"Fix: set_input_arrays\(data, labels, layer='m'\)"):
        caffe.Net(str(path), caffe.TRAIN).set_input_arrays(*arrays)


# -- sharing, seeds, copies, threads -----------------------------------------------------------------------------


def test_blobs_that_are_kept_follow_sharing(file: str, net: caffe.Net) -> None:
    other = caffe.Net(file, caffe.TEST)
    weights = other.params["fc"][0]
    other.share_with(net)
    np.testing.assert_array_equal(weights.data, net.params["fc"][0].data)
    weights.data[...] = 2
    assert (net.params["fc"][0].data == 2).all() and (net.layers[5].blobs[0].data == 2).all()


def test_random_seed(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caffelite.defaults._seed", -1)

    def weights() -> np.ndarray:
        return caffe.Net(file, caffe.TEST).params["fc"][0].data.copy()

    caffe.set_random_seed(7)
    first, second = weights(), weights()
    caffe.set_random_seed(np.int64(7))
    assert np.array_equal(weights(), first) and np.array_equal(weights(), second)
    assert not np.array_equal(first, second)
    assert np.array_equal(caffe.Net(file, caffe.TEST, seed=7).params["fc"][0].data, first)
    with pytest.raises(TypeError, match="expected a whole number, got '7'"):
        caffe.set_random_seed("7")


def test_copies_are_refused(net: caffe.Net) -> None:
    for thing in (net, net.blobs, net.blobs["fc"], net.params, net.params["fc"], net.params["fc"][0]):
        for how in (copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="parts of a living net cannot be copied or pickled\n  Fix: "):
                how(thing)
    with pytest.raises(UsageError, match=r"weights=file\)"):
        copy.copy(net)
    kept = copy.deepcopy({name: [b.data for b in blobs] for name, blobs in net.params.items()})
    assert isinstance(kept["fc"][0], np.ndarray)
    assert list(copy.copy(net.blobs)) == list(net.blobs)


def test_threads(file: str) -> None:
    """Passes of one net take turns; several nets run side by side."""
    nets = [caffe.Net(file, caffe.TEST, seed=3) for _ in range(2)]
    label = np.array([0, 2])
    want = float(nets[0].forward(data=DATA, label=label)["loss"])
    found: list[float] = []

    def work(net: caffe.Net) -> None:
        for _ in range(20):
            found.append(float(net.forward(data=DATA, label=label)["loss"]))
            net.backward()

    threads = [threading.Thread(target=work, args=(net,)) for net in (*nets, *nets)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80 and found == pytest.approx([want] * 80)


def test_subclass(file: str) -> None:
    class Mine(caffe.Net):
        def __init__(self, path: str):
            caffe.Net.__init__(self, path, caffe.TEST)
            self.transformer = "own"

        def forward(self, **kwargs):
            return super().forward(**kwargs) | {"more": 1}

    mine = Mine(file)
    assert mine.forward()["more"] == 1 and mine.transformer == "own"
    with pytest.raises(CaffeliteError):
        mine.copy_from("nowhere")
