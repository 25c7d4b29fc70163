"""Parameters of nets: shared, filled, seen through views, saved and loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffelite.errors import DataError, NetError, SnapshotError, WeightsError
from caffelite.model import Model
from caffelite.prototxt.source import net_from_message
from caffelite.types import Phase

from .conftest import ANY_SIZE, model, run, same

# -- parameters ------------------------------------------------------------------------------------------------

TIED = (
    'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 } } }\n'
    'layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" } inner_product_param { num_output: 3 '
    'bias_term: false weight_filler { type: "gaussian" std: 1 } } }\n'
    'layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" loss_weight: 1 param { name: "w" share_mode: PERMISSIVE } '
    "inner_product_param { num_output: 4 bias_term: false } }\n"
)


def test_permissive_sharing(engine) -> None:
    net = model(TIED, engine)
    a, b = net.params["a"][0], net.params["b"][0]
    assert (a.shape, b.shape) == ((3, 4), (4, 3)) and a.shares_with(b)
    x = np.arange(8, dtype="float32").reshape(2, 4)
    net.input("x")[...] = x
    net.forward()
    net.backward()
    W = a.data
    V = W.reshape(4, 3)
    ones = np.ones((2, 4), "float32")
    want = (ones.T @ (x @ W.T)).reshape(3, 4) + (ones @ V).T @ x  # both layers add to one gradient
    np.testing.assert_allclose(a.grad, want, rtol=1e-5)
    np.testing.assert_array_equal(b.grad.reshape(3, 4), a.grad)
    assert [(use.layer, use.index) for use, _ in net.learnables] == [("a", 0)]
    a.data[...] = 0
    a.touch()
    net.forward()
    assert not net.blob("b").any()


def test_sharing_within_one_layer() -> None:
    text = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 1 } } }\n' + (
        'layer { name: "s" type: "Scale" bottom: "x" top: "s" loss_weight: 1 scale_param { bias_term: true filler { value: 3 } } '
        'param { name: "w" } param { name: "w" } }'
    )
    net = model(text)
    net.input("x")[...] = [[1], [2]]
    net.forward()
    net.backward()
    assert net.blob("s").ravel().tolist() == [6, 9]
    assert net.params["s"][0].grad.tolist() == net.params["s"][1].grad.tolist() == [3 + 2]


def test_a_second_net_with_the_same_weights(engine) -> None:
    one, two = model(engine=engine), model(engine=engine, seed=9)
    run(two, (2, 3, 6, 5))  # kernels have packed their own weights by then
    two.share_params(one)
    same(run(two, (2, 3, 6, 5)), run(one, (2, 3, 6, 5)), 1e-6)
    one.params["conv"][0].data[...] *= 2
    one.params["conv"][0].touch()
    same(run(two, (2, 3, 6, 5)), run(one, (2, 3, 6, 5)), 1e-6)


def test_gradients_of_two_nets_stay_apart() -> None:
    one, two = model(), model()
    two.share_params(one)
    run(two, (2, 3, 6, 5))
    assert two.params["fc"][0].grad.any() and not one.params["fc"][0].grad.any()


def test_tied_params_stay_tied_in_a_second_net() -> None:
    one, two = model(TIED), model(TIED, seed=9)
    two.share_params(one)
    a, b = two.params["a"][0], two.params["b"][0]
    assert a.shares_with(b) and a.shares_with(one.params["a"][0])
    a.grad[...] = 1
    assert (b.grad == 1).all()


def test_nets_of_other_shapes_share_nothing() -> None:
    one, two = model(), model(ANY_SIZE.replace("num_output: 4", "num_output: 6"))
    before = two.params["conv"][0]
    with pytest.raises(NetError, match="layer 'conv'"):
        two.share_params(one)
    assert two.params["conv"][0] is before
    with pytest.raises(NetError, match="layer 'conv'"):
        model(ANY_SIZE.replace("num_output: 4", "num_output: 6"), share=one)
    with pytest.raises(NetError, match="layer 'fc'"):
        model(ANY_SIZE.replace("inner_product_param {", "inner_product_param { bias_term: false"), share=one)


def test_a_view_kept_for_long_reaches_the_packed_weights(engine) -> None:
    net = model(engine=engine)
    view = net.params["conv"][0].data_view()
    run(net, (2, 3, 6, 5))
    run(net, (2, 3, 6, 5))
    view[...] = 0.25
    got = run(net, (2, 3, 6, 5))
    other = model(engine=engine)
    other.params["conv"][0].load(np.full((4, 3, 3, 3), 0.25, "float32"))
    same(got, run(other, (2, 3, 6, 5)), 1e-6)
    del view
    net.params["conv"][0].data_view()[...] = 0.5  # a view that is gone before the pass
    other.params["conv"][0].load(np.full((4, 3, 3, 3), 0.5, "float32"))
    same(run(net, (2, 3, 6, 5)), run(other, (2, 3, 6, 5)), 1e-6)


def test_fillers_depend_on_the_seed_alone(engine) -> None:
    first, again, other = model(engine=engine), model(engine=engine), model(engine=engine, seed=2)
    for name, params in first.params.items():
        for mine, theirs in zip(params, again.params[name], strict=True):
            np.testing.assert_array_equal(mine.data, theirs.data)
    assert not np.array_equal(first.params["conv"][0].data, other.params["conv"][0].data)


# -- files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["net.caffemodel", "net.caffemodel.h5"])
@pytest.mark.parametrize("text", [ANY_SIZE, TIED])
def test_weights_go_round(tmp_path: Path, name: str, text: str) -> None:
    one, two = model(text), model(text, seed=8)
    one.save(tmp_path / name)
    report = two.load_weights(tmp_path / name)
    for layer, params in one.params.items():
        for mine, theirs in zip(params, two.params[layer], strict=True):
            np.testing.assert_array_equal(mine.data, theirs.data)
    assert (report.skipped, report.initial) == ([], [])
    if text is TIED:
        assert two.params["a"][0].shares_with(two.params["b"][0])


def test_the_report(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    model(ANY_SIZE.replace('"fc"', '"old"')).save(path)
    net = model(ANY_SIZE.replace('"fc"', '"new"'))
    before = net.params["new"][0].data.copy()
    report = net.load_weights(path)
    assert (report.loaded, report.skipped, report.initial) == (["conv"], ["old"], ["new"])
    assert (
        str(report)
        == f"{path}: 1 layers loaded, 1 not in the net (old), 1 left at their initial values (new)"
    )
    np.testing.assert_array_equal(net.params["new"][0].data, before)


def test_nothing_is_loaded_unless_all_fits(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    model(ANY_SIZE.replace("num_output: 5", "num_output: 7")).save(path)
    net = model(seed=4)
    before = net.params["conv"][0].data.copy()
    with pytest.raises(NetError) as caught:
        net.load_weights(path)
    assert (
        f"weights '{path}' -> layer 'fc' (InnerProduct) at net.prototxt:6:1: param 0 ('W') is 7 4 (28) in the file, 5 4 (20) in the net"
        in str(caught.value)
    )
    assert "rename it" in str(caught.value)
    np.testing.assert_array_equal(net.params["conv"][0].data, before)


def test_another_number_of_blobs(tmp_path: Path) -> None:
    model(ANY_SIZE.replace("inner_product_param {", "inner_product_param { bias_term: false")).save(
        tmp_path / "weights"
    )
    with pytest.raises(NetError, match="layer 'fc'.*1 blobs in the file, 2 in the net"):
        model().load_weights(tmp_path / "weights")


def test_a_file_of_another_net(tmp_path: Path) -> None:
    model(TIED).save(tmp_path / "weights")
    with pytest.raises(
        WeightsError, match="no layer of this file is in the net; the file has in, a, b, the net has in, conv"
    ):
        model().load_weights(tmp_path / "weights")


def test_files_that_are_not_there_or_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        model().load_weights(tmp_path / "none")
    with pytest.raises(SnapshotError):
        model().save(tmp_path / "no" / "folder")


def test_blobs_in_the_message_win_over_fillers(tmp_path: Path) -> None:
    """As in Caffe: a layer whose message has blobs is not filled. So a caffemodel is a net with its weights."""
    one = model()
    one.save(tmp_path / "net.caffemodel")
    two = Model(
        net_from_message((tmp_path / "net.caffemodel").read_bytes()), Phase.TRAIN, engine="reference", seed=77
    )
    np.testing.assert_array_equal(one.params["conv"][0].data, two.params["conv"][0].data)
    assert [node.name for node in two.nodes] == [node.name for node in one.nodes]


def test_blobs_in_the_message_must_fit() -> None:
    text = ANY_SIZE.replace(
        'layer { name: "fc"',
        'layer { name: "fc" blobs { shape { dim: 1 } data: 3 } blobs { shape { dim: 5 } data: [1, 2, 3, 4, 5] }',
    )
    with pytest.raises(NetError, match=r"param 0 \('W'\) is 1 \(1\) in the file, 5 4 \(20\) in the net"):
        model(text)


def test_gradients_may_be_saved(tmp_path: Path) -> None:
    net = model()
    run(net, (2, 3, 6, 5))
    net.save(tmp_path / "a", diffs=True)
    net.save(tmp_path / "b")
    assert (tmp_path / "a").stat().st_size > 1.5 * (tmp_path / "b").stat().st_size
