"""Passes: parts of a net, hooks, times, the search for the first bad number, and what a failure leaves behind."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.errors import DataError, UsageError
from caffelite.executor import Times
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

NET = """
name: "net"
layer { name: "data" type: "Input" top: "data" top: "label" input_param { shape { dim: 4 dim: 2 dim: 6 dim: 5 } shape { dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { type: "uniform" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "drop" }
layer { name: "fc" type: "InnerProduct" bottom: "drop" top: "fc" inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
DATA = np.random.default_rng(0).normal(size=(4, 2, 6, 5)).astype("float32")
LABEL = np.array([0, 4, 2, 1], "float32")


@pytest.fixture(params=["reference", "cpu"])
def engine(request) -> str:
    return request.param


@pytest.fixture
def model(engine) -> Model:
    return filled(engine)


def filled(engine: str, text: str = NET, **options: object) -> Model:
    net = Model(parse_net(text), Phase.TRAIN, engine=engine, seed=2, **options)  # type: ignore[arg-type]
    net.input("data")[...], net.input("label")[...] = DATA, LABEL
    return net


def grads(net: Model) -> dict[str, np.ndarray]:
    return {f"{name}[{i}]": p.grad.copy() for name, ps in net.params.items() for i, p in enumerate(ps)}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray], tolerance: float = 0) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=tolerance, err_msg=name)


# -- parts -----------------------------------------------------------------------------------------------------


def test_a_pass_in_parts_is_a_pass(engine) -> None:
    whole, parts = filled(engine), filled(engine)
    loss = whole.forward()
    whole.backward()
    assert parts.forward(0, 2) == 0
    parts.passes.number = 0  # a pass is a pass: dropout draws anew
    assert parts.forward(3, 5) == pytest.approx(loss, rel=1e-6)
    parts.backward(5, 4)
    parts.backward(3, 0)
    same(grads(whole), grads(parts), 1e-6)


def test_layer_by_layer(engine) -> None:
    whole, single = filled(engine), filled(engine)
    loss = whole.forward()
    whole.backward()
    total = 0.0
    for i in range(len(single.nodes)):
        single.passes.number = 0
        total += single.forward(i, i)
    for i in reversed(range(len(single.nodes))):
        single.backward(i, i)
    assert total == pytest.approx(loss, rel=1e-6)
    same(grads(whole), grads(single), 1e-6)


def test_a_part_ends_before_the_activation_in_place(model) -> None:
    model.forward(0, 1)
    assert model.blob("conv").min() < 0
    model.forward(0, 2)
    assert model.blob("conv").min() == 0


def test_only_the_part_runs(model) -> None:
    model.forward()
    model.blob("fc")[...] = 7
    model.forward(0, 3)
    assert (model.blob("fc") == 7).all()
    before = grads(model)
    model.backward(5, 5)
    same(grads(model), before)


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (0, 6), (6, None), (0, -1)])
def test_positions_that_there_are_not(model, start: int, end: int | None) -> None:
    with pytest.raises(UsageError, match=r"net 'net' has layers 0 to 5, not"):
        model.forward(start, end)
    with pytest.raises(UsageError, match="has layers 0 to 5"):
        model.backward(end if end is not None else 6, start)


def test_gradients_add_up_until_cleared(model) -> None:
    model.forward()
    model.backward()
    once = grads(model)
    model.backward()
    same(grads(model), {name: 2 * grad for name, grad in once.items()}, 1e-5)
    model.clear_grads()
    assert not any(grad.any() for grad in grads(model).values())


def test_the_first_backward_equals_the_second(engine) -> None:
    """The first one allocates gradients and binds kernels anew between forward and backward."""
    for observe in (True, False):
        net = filled(engine, observe=observe)
        results = []
        for _ in range(2):
            net.passes.number = 0
            net.clear_grads()
            net.forward()
            net.backward()
            results.append(grads(net))
        same(*results)


def test_backward_before_forward_is_harmless(model) -> None:
    model.backward()
    model.clear_grads()
    assert np.isfinite(model.forward())


def test_inference_nets_refuse_backward(engine) -> None:
    net = filled(engine, backward=False)
    net.forward()
    with pytest.raises(UsageError, match=r"net 'net' was made with backward=False"):
        net.backward()
    assert not net.executor.plan.diff


# -- hooks and times -------------------------------------------------------------------------------------------


def test_hooks_come_around_each_layer(model) -> None:
    seen: list[tuple[str, int]] = []
    for name in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(model.hooks, name).append(lambda index, name=name: seen.append((name, index)))
    model.forward()
    assert seen == [(name, i) for i in range(6) for name in ("before_forward", "after_forward")]
    seen.clear()
    model.backward(4, 3)
    assert seen == [(name, i) for i in (4, 3) for name in ("before_backward", "after_backward")]


def test_hooks_see_each_layers_own_blob(model) -> None:
    """With a hook in place nothing is fused: after the convolution its own top is there."""
    lowest: dict[int, float] = {}
    model.hooks.after_forward.append(lambda index: lowest.setdefault(index, float(model.blob("conv").min())))
    model.forward()
    assert lowest[1] < 0 and lowest[2] == 0


def test_hooks_and_times_change_no_number(engine) -> None:
    plain, watched = filled(engine), filled(engine)
    watched.hooks.after_forward.append(lambda index: None)
    watched.executor.times = Times([0.0] * 6, [0.0] * 6)
    assert watched.forward() == pytest.approx(plain.forward(), rel=1e-6)
    plain.backward()
    watched.backward()
    same(grads(plain), grads(watched), 1e-6)
    assert all(seconds > 0 for seconds in watched.executor.times.forward)
    assert watched.executor.times.backward[5] > 0


def test_a_hook_may_fail(model) -> None:
    def stop(index: int) -> None:
        raise KeyboardInterrupt

    loss = model.forward()
    model.hooks.before_forward.append(stop)
    with pytest.raises(KeyboardInterrupt):
        model.forward()
    model.hooks.before_forward.clear()
    model.passes.number = 0
    assert model.forward() == loss


# -- the first bad number --------------------------------------------------------------------------------------


@pytest.mark.parametrize("observe", [True, False])
def test_nothing_is_wrong(engine, observe: bool) -> None:
    net = filled(engine, observe=observe)
    net.forward()
    assert net.executor.first_not_finite() == ""


@pytest.mark.parametrize("observe", [True, False])
def test_the_first_bad_blob(engine, observe: bool) -> None:
    net = filled(engine, NET.replace("ReLU", "TanH"), observe=observe)
    net.input("data")[1, 0, 2, 2] = np.nan
    assert not np.isfinite(net.forward())
    assert net.executor.first_not_finite() == "blob 'data' (layer 'data', Input), 1 of 240 values"


@pytest.mark.parametrize("observe", [True, False])
def test_a_blob_that_overflows(engine, observe: bool) -> None:
    net = filled(
        engine,
        NET.replace('type: "ReLU"', 'type: "Scale" scale_param { filler { value: 1e30 } }'),
        observe=observe,
    )
    net.input("data")[...] *= 1e20
    with np.errstate(all="ignore"):
        net.forward()
        assert net.executor.first_not_finite().startswith("blob 'conv' (layer 'relu', Scale), ")


def test_the_first_bad_param(model) -> None:
    model.params["fc"][0].data[3, 1] = np.inf
    model.params["fc"][0].touch()
    with np.errstate(all="ignore"):
        model.forward()
        assert (
            model.executor.first_not_finite() == "param 0 ('W') of layer 'fc' (InnerProduct), 1 of 180 values"
        )


@pytest.mark.parametrize("observe", [True, False])
def test_the_search_changes_nothing(engine, observe: bool) -> None:
    """It runs layers again: with the same draws, and without counting a batch twice in the statistics."""
    text = NET.replace('type: "ReLU"', 'type: "BatchNorm"')
    net = filled(engine, text, observe=observe)
    net.forward()
    before = {name: [p.data.copy() for p in params] for name, params in net.params.items()}
    blobs = {name: net.blob(name).copy() for name in net.graph.outputs}
    passes = net.passes.number
    net.executor.first_not_finite()
    for name, params in net.params.items():
        for param, old in zip(params, before[name], strict=True):
            np.testing.assert_array_equal(param.data, old)
    for name, old in blobs.items():
        np.testing.assert_array_equal(net.blob(name), old)
    assert net.passes.number == passes


# -- draws -----------------------------------------------------------------------------------------------------


def test_each_pass_draws_anew_and_the_seed_repeats_it(engine) -> None:
    one, two = filled(engine), filled(engine)
    first, second = one.forward(), one.forward()
    assert first != second
    assert (two.forward(), two.forward()) == (first, second)


def test_another_layer_changes_no_draw(engine) -> None:
    other = NET.replace(
        'layer { name: "fc"',
        'layer { name: "more" type: "Dropout" bottom: "data" top: "more" }\nlayer { name: "fc"',
    )
    one, two = filled(engine), filled(engine, other)
    one.forward()
    two.forward()
    np.testing.assert_array_equal(one.blob("drop"), two.blob("drop"))


# -- failures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("observe", [True, False])
def test_a_bad_label_leaves_the_net_usable(engine, observe: bool) -> None:
    net = filled(engine, observe=observe)
    loss = net.forward()
    net.passes.number = 0
    net.input("label")[2] = 5
    with pytest.raises(DataError, match=r"layer 'loss' \(SoftmaxWithLoss\).*got 5 at index 2"):
        net.forward()
    net.input("label")[...] = LABEL
    net.passes.number = 0
    assert net.forward() == loss
    net.backward()
    assert all(np.isfinite(grad).all() for grad in grads(net).values())


def test_threads_are_as_before_a_failure(engine) -> None:
    net = filled(engine)
    net.input("label")[2] = -1
    for _ in range(3):
        with pytest.raises(DataError):
            net.forward()
    tiny = np.float32(1e-38) * np.float32(0.01)
    assert tiny > 0  # flush-to-zero was switched off again
