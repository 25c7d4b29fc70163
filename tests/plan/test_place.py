"""In place is a request: gradients are right whatever the prototxt overwrites, and a blob shows what Caffe's would."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.engine import get_engine
from caffelite.model import Model
from caffelite.plan.place import backward_reads
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

SOURCE = 'layer {{ name: "data" type: "DummyData" top: "x" dummy_data_param {{ shape {{ {dims} }} data_filler {{ type: "gaussian" std: 1 }} }} }}\n'
IMAGE = SOURCE.format(dims="dim: 2 dim: 3 dim: 4 dim: 5")
CONV = 'layer { name: "conv" type: "Convolution" bottom: "x" top: "b" convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }\n'
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "b" inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }\n'
PRODUCT = 'layer { name: "last" type: "InnerProduct" bottom: "%s" top: "loss" loss_weight: 1 inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }\n'


def chain(types: list[str], inplace: bool, first: str = CONV) -> str:
    """Layers on blob "b", each over the last one or each with a top of its own."""
    text, bottom = IMAGE + first, "b"
    for i, type_ in enumerate(types):
        name, _, extra = type_.partition(" ")
        top = "b" if inplace else f"t{i}"
        text += f'layer {{ name: "l{i}" type: "{name}" bottom: "{bottom}" top: "{top}" {extra} }}\n'
        bottom = top
    return text + PRODUCT % bottom


def model(text: str, engine: str = "reference", precision: str = "float64", **options: object) -> Model:
    if engine == "cpu":
        precision = "float32"
    return Model(parse_net(text), Phase.TRAIN, engine=engine, precision=precision, seed=5, **options)  # type: ignore[arg-type]


def gradients(net: Model) -> dict[str, list[np.ndarray]]:
    net.clear_grads()
    net.forward()
    net.backward()
    return {name: [param.grad.copy() for param in params] for name, params in net.params.items() if params}


GAUSSIAN = 'filler { type: "gaussian" std: 1 }'
CHAINS = [
    ["TanH", "Dropout"],  # Caffe's gradient is silently wrong in these three
    ["Sigmoid", "Dropout"],
    ["BatchNorm", "Dropout"],
    ["ReLU", "Dropout"],
    ["Dropout", "ReLU"],
    ["ReLU relu_param { negative_slope: -0.5 }"],  # and in this one
    ["ReLU relu_param { negative_slope: 0.2 }", "ReLU"],
    ["BatchNorm", f"Scale scale_param {{ {GAUSSIAN} bias_term: true }}", "ReLU"],
    ["BatchNorm", "ReLU"],
    [f"Scale scale_param {{ {GAUSSIAN} }}", f"Scale scale_param {{ {GAUSSIAN} }}", "TanH"],
    [f"Bias bias_param {{ {GAUSSIAN} }}", "PReLU", "Sigmoid"],
    ["Sigmoid", "TanH", "Sigmoid", "Softmax"],
    ["LRN lrn_param { local_size: 3 }", "ReLU"],  # LRN itself cannot, and gets memory of its own
    ["Softmax", "Dropout", "BatchNorm", "ReLU"],
]


@pytest.mark.parametrize("types", CHAINS, ids=lambda types: "-".join(type_.split()[0] for type_ in types))
@pytest.mark.parametrize("observe", [True, False])
@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_gradients_in_place_are_those_out_of_place(types: list[str], observe: bool, engine: str) -> None:
    want = gradients(model(chain(types, inplace=False)))
    net = model(chain(types, inplace=True), engine, observe=observe)
    tolerance = 1e-12 if engine == "reference" else 1e-4
    for _ in range(2):  # what a pass leaves behind must not disturb the next
        net.passes.number = 0  # the same draws
        got = gradients(net)
        for name, grads in want.items():
            for mine, theirs in zip(got[name], grads, strict=True):
                np.testing.assert_allclose(
                    mine, theirs, rtol=0, atol=tolerance * max(1, np.abs(theirs).max())
                )


@pytest.mark.parametrize("types", CHAINS, ids=lambda types: "-".join(type_.split()[0] for type_ in types))
@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_a_blob_shows_each_version_in_its_turn(types: list[str], engine: str) -> None:
    apart, net = model(chain(types, inplace=False)), model(chain(types, inplace=True), engine)
    apart.forward()
    for i, name in enumerate(["b", *(f"t{i}" for i in range(len(types)))], start=1):
        net.passes.number = 0
        net.forward(end=i)
        np.testing.assert_allclose(
            net.blob("b"), apart.blob(name), atol=1e-12 if engine == "reference" else 1e-4
        )


@pytest.mark.parametrize("types", [["TanH", "Dropout"], ["BatchNorm", "ReLU"], ["ReLU", "Dropout"]])
@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_what_a_user_writes_between_two_passes_is_read(types: list[str], engine: str) -> None:
    """Caffe has one buffer under a name, so a pass that starts at layer 3 reads what stands there."""
    net, other = model(chain(types, inplace=True), engine), model(chain(types, inplace=False), engine)
    for one, name in ((net, "b"), (other, "t0")):
        one.forward()
        one.forward(end=2)
        one.passes.number = 7
        one.blob(name)[...] = 0.5
        one.forward(start=3)
    np.testing.assert_allclose(net.blob("loss"), other.blob("loss"), rtol=1e-6)


def test_gradients_that_a_user_writes_are_read() -> None:
    """The way of deep dream: put a gradient on a blob and start there."""
    types = ["LRN lrn_param { local_size: 3 }"]  # its dx cannot share the memory of dy
    net, other = model(chain(types, inplace=True)), model(chain(types, inplace=False))
    for one in (net, other):
        one.forward()
        one.backward()
        one.clear_grads()
        value = one.graph.blobs["b"]
        one.executor.diff(value)[...] = 0.5
        one.backward(start=1)  # the convolution alone
    assert np.abs(other.params["conv"][0].grad).max() > 0
    np.testing.assert_allclose(net.params["conv"][0].grad, other.params["conv"][0].grad)


@pytest.mark.parametrize("observe", [True, False])
def test_a_loss_weight_survives_an_in_place_gradient(observe: bool) -> None:
    """In Caffe backward overwrites it, and the second iteration has another loss and gradient."""
    text = IMAGE + CONV + 'layer { name: "sigmoid" type: "Sigmoid" bottom: "b" top: "b" loss_weight: 0.5 }'
    net, losses, grads = model(text, observe=observe), [], []
    for _ in range(3):
        net.passes.number = 0
        net.clear_grads()
        losses.append(net.forward())
        net.backward()
        grads.append(net.params["conv"][0].grad.copy())
    assert losses[0] == pytest.approx(0.5 * net.blob("b").sum())
    assert losses == [losses[0]] * 3
    assert np.array_equal(grads[0], grads[2]) and np.abs(grads[0]).max() > 0


@pytest.mark.parametrize("observe", [True, False])
def test_a_loss_weight_survives_a_view(observe: bool) -> None:
    text = (
        IMAGE
        + CONV
        + (
            'layer { name: "sigmoid" type: "Sigmoid" bottom: "b" top: "b" }'
            'layer { name: "flat" type: "Flatten" bottom: "b" top: "flat" loss_weight: 2 }'
        )
    )
    net = model(text, observe=observe)
    grads = [gradients(net)["conv"][0] for _ in range(2) if not setattr(net.passes, "number", 0)]
    assert np.array_equal(grads[0], grads[1])


def test_a_written_loss_weight_scales_the_loss() -> None:
    """As in Caffe: the diff of a loss top is its weight."""
    net = model(chain(["ReLU"], inplace=True))
    net.forward()
    net.backward()
    net.passes.number = 0
    net.executor.diff(net.graph.blobs["loss"])[...] = 3
    assert net.forward() == pytest.approx(3 * net.blob("loss").sum())


@pytest.mark.parametrize("observe", [True, False])
def test_an_output_is_not_overwritten_through_a_view(observe: bool) -> None:
    """Both tops of the Split are the blob's memory; in Caffe the output "second" would change too."""
    text = (
        IMAGE
        + FC
        + (
            'layer { name: "split" type: "Split" bottom: "b" top: "first" top: "second" }'
            'layer { name: "sigmoid" type: "Sigmoid" bottom: "first" top: "first" }'
        )
    )
    net = model(text, observe=observe, backward=False)
    net.forward()
    before, after = net.blob("second").copy(), net.blob("first")
    np.testing.assert_allclose(after, 1 / (1 + np.exp(-before)))


def test_a_later_reader_of_the_same_memory_keeps_its_value() -> None:
    text = (
        IMAGE
        + FC
        + (
            'layer { name: "flat" type: "Flatten" bottom: "b" top: "flat" }'
            'layer { name: "sigmoid" type: "Sigmoid" bottom: "flat" top: "flat" }'
            'layer { name: "later" type: "Bias" bottom: "b" top: "later" }'
        )
    )
    net = model(text, backward=False)
    net.forward()
    np.testing.assert_allclose(net.blob("flat"), 1 / (1 + np.exp(-net.blob("later"))))
    assert "sigmoid: not in place, 'later' still reads b_fc_0_split_1@0 (+64 bytes)" in str(net.executor.plan)


def test_inference_grants_what_training_refuses(planned) -> None:
    text = chain(["TanH", "Dropout", "BatchNorm", "ReLU"], inplace=True)
    assert len(planned(text).notes) == 2
    assert planned(text, Phase.TEST, backward=False).notes == []


def test_a_kernel_that_cannot_is_not_asked_to(planned) -> None:
    text = IMAGE + 'layer { name: "lrn" type: "LRN" bottom: "x" top: "x" }'
    assert planned(text, Phase.TEST, backward=False).notes == [
        "lrn: not in place, its kernel 'array' cannot (+480 bytes)"
    ]


def test_an_input_may_be_overwritten_and_written_again() -> None:
    text = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }' + (
        'layer { name: "scale" type: "Scale" bottom: "x" top: "x" scale_param { filler { value: 2 } } }'
        'layer { name: "out" type: "Sigmoid" bottom: "x" top: "y" loss_weight: 1 }'
    )
    net = model(text)
    for value in (1.0, 2.0):
        net.blob("x")[...] = value
        net.forward()
        assert (net.blob("x") == 2 * value).all()  # as Caffe would have overwritten it
        np.testing.assert_allclose(net.blob("y"), 1 / (1 + np.exp(-2 * value)))
    net.clear_grads()
    net.backward()
    y = net.blob("y")
    np.testing.assert_allclose(net.params["scale"][0].grad, (2.0 * y * (1 - y)).sum(axis=0))


def test_saved_arrays_of_layers_with_one_name_stay_apart() -> None:
    """Caffe lets two layers have one name; their masks must not share memory."""
    pool = 'layer { name: "pool" type: "Pooling" bottom: "%s" top: "%s" pooling_param { kernel_size: 2 stride: 2 } }\n'
    wide = SOURCE.format(dims="dim: 1 dim: 2 dim: 8 dim: 8")
    text = wide + CONV + pool % ("b", "p") + pool % ("p", "q") + PRODUCT % "q"
    want = gradients(model(text.replace('name: "pool"', 'name: "other"', 1)))
    got = gradients(model(text))
    np.testing.assert_array_equal(got["conv"][0], want["conv"][0])


def test_dropouts_of_one_name_draw_apart() -> None:
    drop = 'layer { name: "drop" type: "Dropout" bottom: "%s" top: "%s" }\n'
    net = model(IMAGE + drop % ("x", "a") + drop % ("a", "b"))
    net.forward()
    kept = np.count_nonzero(net.blob("b")) / net.blob("b").size
    assert 0.15 < kept < 0.35  # a quarter; with one mask it would be a half


def test_backward_reads(planned) -> None:
    plan = planned(chain(["ReLU", "TanH"], inplace=True), engine=get_engine("reference"))
    reads = {step.node.name: sorted(map(str, backward_reads(step))) for step in plan.steps}
    assert reads == {"data": [], "conv": ["x@0"], "l0": ["b@1"], "l1": ["b@2"], "last": ["b@2"]}
