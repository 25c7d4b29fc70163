"""pycaffe's Net, with the semantics and the words of ``pycaffe.py``."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from caffelite.errors import CaffeliteError, MissingFileError, UsageError
from caffelite.model import Model
from caffelite.net import Net
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

from .conftest import DATA, INFO, NET

# -- construction ----------------------------------------------------------------------------------------------


def test_ways_to_construct(file: str, tmp_path: Path) -> None:
    weights = str(tmp_path / "w.caffemodel")
    first = Net(file, 1, seed=1)
    first.save(weights)
    with pytest.warns(DeprecationWarning, match=r"deprecated; write Net\('.*', caffe.TEST, weights='.*'\)"):
        old = Net(file, weights, 1)
    forms = [
        old,
        Net(file, 1, weights=weights),
        Net(file, phase=1, level=0, stages=None, weights=weights),
        Net(network_file=file, phase=np.int64(1), weights=weights),
    ]
    for other in forms:
        np.testing.assert_array_equal(other.params["conv"][0].data, first.params["conv"][0].data)
        assert other.model.phase == Phase.TEST
    assert Net(file, 0).model.phase == Phase.TRAIN
    with pytest.warns(DeprecationWarning):
        assert Net(file, Path(weights), 0).model.phase == Phase.TRAIN


def test_the_old_form_needs_a_phase(file: str) -> None:
    with pytest.raises(
        TypeError, match=r"expected the phase as well\n  Fix: Net\('.*', caffe.TEST, weights='w.caffemodel'\)"
    ):
        Net(file, "w.caffemodel")


def test_level_and_stages(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        NET
        + 'layer { name: "more" type: "ReLU" bottom: "prob" top: "more" include { stage: "s" min_level: 2 } }'
    )
    assert Net(str(path), 1, 2, ["s"]).outputs == ["more"]
    assert Net(str(path), 1, level=2, stages=["t"]).outputs == ["prob"]
    assert Net(str(path), 1, stages=["s"]).outputs == ["prob"]


def test_missing_files_are_runtime_errors(file: str) -> None:
    """What pycaffe raises for them, so what scripts catch."""
    with pytest.raises(RuntimeError, match="'none.prototxt' does not exist"):
        Net("none.prototxt", 1)
    with pytest.raises(MissingFileError, match="'none.caffemodel' does not exist"):
        Net(file, 1, weights="none.caffemodel")


def test_the_view_of_a_model() -> None:
    model = Model(parse_net(NET), engine="reference", seed=1)
    net = Net.of(model)
    assert net.model is model and net.name == "net"
    net.forward()


def test_subclasses_and_attributes_of_ones_own(file: str) -> None:
    class Classifier(Net):
        def __init__(self, path: str):
            Net.__init__(self, path, 1)
            self.scale = 2

    net = Classifier(file)
    net.name, net.anything = "mine", [1]
    assert (net.name, net.scale, net.anything) == ("mine", 2, [1])


# -- tables ----------------------------------------------------------------------------------------------------


def test_tables(net: Net) -> None:
    assert net.inputs == ["data", "info"] and net.outputs == ["prob"]
    assert list(net.blobs) == ["data", "info", "conv", "fc", "add", "prob"]
    assert list(net.params) == ["conv", "fc"]
    assert net.top_names["relu"] == ["conv"] and net.bottom_names["add"] == ["fc", "info"]
    assert list(net._layer_names) == ["input", "conv", "relu", "fc", "add", "prob"]
    assert net._blob_names == list(net.blobs)
    assert (net._inputs, net._outputs) == ([0, 1], [5])
    assert (net._bottom_ids(4), net._top_ids(0)) == ([3, 1], [0, 1])
    assert [layer.type for layer in net.layers][:3] == ["Input", "Convolution", "ReLU"]
    assert [blob.shape for blob in net.layers[1].blobs] == [(6, 3, 3, 3), (6,)]
    assert net.layer_dict["fc"].type == "InnerProduct"
    assert [blob.count for blob in net._blobs] == [120, 6, 72, 6, 6, 6]
    for table in (
        net.blobs,
        net.params,
        net.top_names,
        net.bottom_names,
        net.layer_dict,
        net.blob_loss_weights,
    ):
        assert isinstance(table, OrderedDict)


def test_splits_and_automatic_tops_are_visible() -> None:
    text = NET + 'layer { name: "loss" type: "EuclideanLoss" bottom: "prob" bottom: "info" loss_weight: 3 }'
    net = Net.of(Model(parse_net(text), Phase.TRAIN, engine="reference"))
    assert "info_input_1_split_1" in net.blobs
    assert net.blob_loss_weights["(automatic)"] == 3
    assert net.outputs == []
    assert net._blob_loss_weights[-1] == 3
    net.forward()
    assert net.blobs["(automatic)"].data.shape == ()


# -- forward ---------------------------------------------------------------------------------------------------


def test_forward_with_inputs(net: Net) -> None:
    out = net.forward(data=DATA, info=INFO)
    assert list(out) == ["prob"]
    np.testing.assert_allclose(out["prob"].sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(net.blobs["data"].data, DATA)


def test_forward_hands_out_live_views(net: Net) -> None:
    first = net.forward(data=DATA, info=INFO)["prob"]
    before = first.copy()
    second = net.forward(data=-DATA, info=INFO)["prob"]
    assert not np.array_equal(first, before)
    np.testing.assert_array_equal(first, second)


def test_forward_with_more_blobs(net: Net) -> None:
    assert set(net.forward(["conv", "fc"])) == {"prob", "conv", "fc"}


def test_forward_in_parts(net: Net) -> None:
    want = net.forward(data=DATA, info=INFO)["prob"].copy()
    assert set(net.forward(end="relu", data=DATA, info=INFO)) == {"conv"}
    net.blobs["prob"].data[...] = 0
    assert set(net.forward(start="fc")) == {"prob"}
    np.testing.assert_allclose(net.blobs["prob"].data, want, rtol=1e-6)
    assert set(net.forward(["data"], start="fc", end="add")) == {"add", "data"}


def test_words_of_forward(net: Net) -> None:
    with pytest.raises(Exception, match="Input blob arguments do not match net inputs"):
        net.forward(data=DATA)
    with pytest.raises(Exception, match="Input blob arguments do not match net inputs"):
        net.forward(data=DATA, info=INFO, more=INFO)
    with pytest.raises(Exception, match="Input is not batch sized"):
        net.forward(data=DATA[:1], info=INFO)
    with pytest.raises(ValueError, match="could not broadcast"):
        net.forward(data=DATA[:, :2], info=INFO)
    with pytest.raises(ValueError, match="'nope' is not in list"):
        net.forward(end="nope")
    with pytest.raises(ValueError, match="'nope' is not in list"):
        net.forward(start="nope")
    assert issubclass(UsageError, CaffeliteError)
    net.forward(data=DATA, info=INFO)


def test_the_loss_of_a_range() -> None:
    text = (
        NET
        + 'layer { name: "loss" type: "EuclideanLoss" bottom: "prob" bottom: "info" top: "loss" loss_weight: 3 }'
    )
    net = Net.of(Model(parse_net(text), Phase.TRAIN, engine="reference", seed=1))
    net.blobs["data"].data[...], net.blobs["info"].data[...] = DATA, INFO
    loss = net._forward(0, len(net.layers) - 1)
    assert loss == pytest.approx(3 * float(net.blobs["loss"].data))
    assert net._forward(0, 2) == 0
    assert net._forward(0, len(net.layers) - 1) == loss


# -- backward --------------------------------------------------------------------------------------------------


def test_backward_from_a_diff(net: Net) -> None:
    net.forward(data=DATA, info=INFO)
    diff = np.zeros((2, 3), "float32")
    diff[:, 1] = 1
    result = net.backward(prob=diff)
    assert set(result) == {"data", "info"}
    p = net.blobs["prob"].data
    want = p * (diff - p[:, 1:2])
    np.testing.assert_allclose(result["info"], want, rtol=1e-5, atol=1e-7)
    assert np.abs(result["data"]).max() > 0
    net.backward(prob=2 * diff)
    np.testing.assert_allclose(result["info"], 2 * want, rtol=1e-5, atol=1e-7)  # live


def test_backward_in_parts(net: Net) -> None:
    net.forward(data=DATA, info=INFO)
    whole = {
        name: diff.copy() for name, diff in net.backward(["conv"], prob=np.ones((2, 3)) * [1, 2, 3]).items()
    }
    net.clear_param_diffs()
    assert set(net.backward(end="add", prob=np.ones((2, 3)) * [1, 2, 3])) == {"fc", "info"}
    assert set(net.backward(["conv"], start="fc")) == {"data", "info", "conv"}
    for name in ("data", "conv"):
        np.testing.assert_allclose(net.blobs[name].diff, whole[name], rtol=1e-6)


def test_deep_dream(net: Net) -> None:
    """A gradient on a blob in the middle, and backward from there to the image."""
    net.forward(end="relu", data=DATA, info=INFO)
    blob = net.blobs["conv"]
    blob.diff[...] = blob.data
    net.backward(start="relu")
    W, y = net.params["conv"][0].data, blob.data
    want = np.zeros_like(DATA)
    for i in range(2):
        for j in range(3):
            want[:, :, i : i + 3, j : j + 3] += np.einsum("no,ocij->ncij", y[:, :, i, j], W)
    np.testing.assert_allclose(net.blobs["data"].diff, want, rtol=1e-4, atol=1e-5)


def test_words_of_backward(net: Net) -> None:
    net.forward(data=DATA, info=INFO)
    with pytest.raises(Exception, match="Top diff arguments do not match net outputs"):
        net.backward(fc=INFO)
    with pytest.raises(Exception, match="Diff is not batch sized"):
        net.backward(prob=INFO[:1])
    with pytest.raises(ValueError, match="'nope' is not in list"):
        net.backward(start="nope")


def test_backward_without_a_loss_does_nothing() -> None:
    net = Net.of(Model(parse_net(NET), engine="reference"))
    net.forward(data=DATA, info=INFO)
    net.backward(prob=INFO)
    assert not net.blobs["data"].diff.any() and not net.params["conv"][0].diff.any()


def test_param_diffs_add_up(net: Net) -> None:
    net.forward(data=DATA, info=INFO)
    net.backward(prob=INFO)
    once = net.params["fc"][0].diff.copy()
    net.backward(prob=INFO)
    np.testing.assert_allclose(net.params["fc"][0].diff, 2 * once, rtol=1e-5)
    net.clear_param_diffs()
    assert not net.params["fc"][0].diff.any()


# -- many items ------------------------------------------------------------------------------------------------


def test_forward_all(net: Net) -> None:
    data, info = np.concatenate([DATA, DATA[:1] * 2]), np.concatenate([INFO, INFO[:1]])
    out = net.forward_all(["conv"], data=data, info=info)
    assert {name: array.shape for name, array in out.items()} == {"prob": (3, 3), "conv": (3, 6, 2, 3)}
    single = net.forward(data=data[[2, 2]], info=info[[2, 2]])["prob"]
    np.testing.assert_allclose(out["prob"][2], single[0], rtol=1e-6)
    kept = out["prob"].copy()
    net.forward(data=0 * DATA, info=INFO)
    np.testing.assert_array_equal(out["prob"], kept)  # copies
    assert net.forward_all(data=data[:0], info=info[:0])["prob"].shape[0] == 0
    with pytest.raises(UsageError, match="do not match"):
        net.forward_all()


def test_forward_backward_all(net: Net) -> None:
    data, info = np.concatenate([DATA, DATA[:1] * 2]), np.concatenate([INFO, INFO[:1]])
    diff = np.tile([1.0, 2.0, 3.0], (3, 1))
    outs, diffs = net.forward_backward_all(["fc"], ["conv"], data=data, info=info, prob=diff)
    assert {name: a.shape[0] for name, a in (outs | diffs).items()} == dict.fromkeys(
        ["prob", "fc", "data", "info", "conv"], 3
    )
    net.forward(data=DATA, info=INFO)
    np.testing.assert_allclose(net.backward(prob=diff[:2])["data"], diffs["data"][:2], rtol=1e-5, atol=1e-7)


# -- weights ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("save", "load"), [("save", "copy_from"), ("save_hdf5", "load_hdf5"), ("save_hdf5", "copy_from")]
)
def test_files(net: Net, file: str, tmp_path: Path, save: str, load: str) -> None:
    path = str(tmp_path / "weights")
    getattr(net, save)(path)
    other = Net(file, 1, seed=99, engine="reference")
    report = getattr(other, load)(path)
    assert report.loaded == ["conv", "fc"]
    for name, blobs in net.params.items():
        for mine, theirs in zip(blobs, other.params[name], strict=True):
            np.testing.assert_array_equal(mine.data, theirs.data)


def test_share_with(net: Net, file: str, engine: str) -> None:
    other = Net(file, 1, seed=99, engine=engine)
    other.share_with(net)
    net.params["conv"][0].data[...] *= 3
    want = net.forward(data=DATA, info=INFO)["prob"]
    np.testing.assert_allclose(other.forward(data=DATA, info=INFO)["prob"], want, rtol=1e-6)


def test_hooks(net: Net) -> None:
    seen: list[str] = []
    for name in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(net, name)(lambda layer, name=name: seen.append(f"{name} {layer}"))
    net.forward(end="conv")
    assert seen == ["before_forward 0", "after_forward 0", "before_forward 1", "after_forward 1"]


def test_memory_data_only_where_there_is_one(net: Net) -> None:
    with pytest.raises(UsageError, match="only be called if the first layer is a MemoryDataLayer"):
        net.set_input_arrays(DATA, INFO)


def test_names_that_a_net_has_not(net: Net) -> None:
    for table, name, near in ((net.blobs, "dat", "data"), (net.layer_dict, "convv", "conv")):
        with pytest.raises(KeyError, match=f"'{name}'; did you mean '{near}'"):
            table[name]
        assert table.get(name) is None
        assert list(table.copy()) == list(table)
    with pytest.raises(ValueError, match="layer 'prb' is not in list; did you mean 'prob'"):
        net.forward(end="prb")
