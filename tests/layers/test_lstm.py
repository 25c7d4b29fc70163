"""LSTM, and what it shares with RNN."""

import json

import numpy as np
import pytest

import caffelite
from caffelite.errors import NetError, ShapeError
from caffelite.model import Model
from caffelite.prototxt.source import parse_net, parse_solver
from caffelite.solver.solver import Solver
from caffelite.testing import check_layer, make_layer, run_layer

TEXT = "recurrent_param { num_output: 3 }"
SHOWN = "recurrent_param { num_output: 3 expose_hidden: true propagate_hidden: true }"


def numbers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape).astype("float32")


def net(type_="LSTM", T=4, N=2, D=5, text="", more=""):
    """An LSTM or RNN between its inputs and a sum as its loss."""
    return parse_net(
        f"""
        layer {{ name: "in" type: "Input" top: "x" top: "cont"
          input_param {{ shape {{ dim: {T} dim: {N} dim: {D} }} shape {{ dim: {T} dim: {N} }} }} }}
        layer {{ name: "r" type: "{type_}" bottom: "x" bottom: "cont" top: "y" {more} recurrent_param {{
          num_output: 3 weight_filler {{ type: "uniform" min: -0.5 max: 0.5 }} {text} }} }}
        layer {{ name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }}"""
    )


def run(model, x, cont=1.0):
    model.input("x")[...] = x
    model.input("cont")[...] = cont
    model.forward()
    return model.blob("y").copy()


# -- one pass -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("static", [(), (7,), (2, 3)], ids=["", "static", "static of 3 axes"])
@pytest.mark.parametrize("x", [(4, 2, 5), (4, 2), (4, 2, 2, 3), (1, 2, 5), (4, 0, 5)])
@pytest.mark.parametrize(("type_", "states"), [("LSTM", 2), ("RNN", 1)])
def test_checks(type_, states, x, static):
    shapes = [x, x[:2], *([(x[1], *static)] if static else [])]
    check_layer(type_, TEXT, shapes, labels={1: 2})
    check_layer(type_, SHOWN, [*shapes, *[(1, x[1], 3)] * states], tops=1 + states, labels={1: 2})


def test_against_the_formulas():
    x, cont, static = numbers(3, 2, 5), np.array([[0, 0], [1, 1], [1, 0]]), numbers(2, 7)
    W, V, U, b = numbers(12, 5), numbers(12, 7), numbers(12, 3), numbers(12)
    params = {"W_xc": W, "b_c": b, "W_xc_static": V, "W_hc": U}
    y = run_layer("LSTM", TEXT, [x, cont, static], params=params).y[0]
    h = c = np.zeros((2, 3))
    for t in range(3):
        k = cont[t][:, None]
        i, f, o, g = np.split(x[t] @ W.T + b + static @ V.T + (k * h) @ U.T, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = k * f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        np.testing.assert_allclose(y[t], h, rtol=1e-5)


def test_blobs_have_caffes_order():
    layer = make_layer("LSTM", TEXT, 3)
    layer.infer([(4, 2, 5), (4, 2), (2, 7)])
    shapes = [(spec.name, spec.shape) for spec in layer.params]
    assert shapes == [("W_xc", (12, 5)), ("b_c", (12,)), ("W_xc_static", (12, 7)), ("W_hc", (12, 3))]


def test_exposed_states_have_no_gradient_unless_asked_for():
    shapes = [(4, 2, 5), (4, 2), (1, 2, 3), (1, 2, 3)]
    bottoms = [numbers(*shape) for shape in shapes]
    bottoms[1][...] = 1
    dy = [np.zeros((4, 2, 3)), np.ones((1, 2, 3)), np.ones((1, 2, 3))]
    plain = run_layer("LSTM", SHOWN.replace("propagate_hidden: true", ""), bottoms, tops=3, dy=dy)
    assert not any(np.any(dx) for dx in plain.dx if dx is not None)
    through = run_layer("LSTM", SHOWN, bottoms, tops=3, dy=dy)
    assert all(np.all(through.dx[i]) for i in (0, 2, 3))


# -- from pass to pass ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_a_pass_goes_on_where_the_last_ended(type_):
    x = numbers(8, 2, 5)
    whole = run(Model(net(type_, T=8), seed=1), x)
    halves = Model(net(type_), seed=1)
    np.testing.assert_allclose(run(halves, x[:4]), whole[:4], atol=1e-6)
    np.testing.assert_allclose(run(halves, x[4:]), whole[4:], atol=1e-6)


@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_cont_0_cuts_one_stream(type_):
    model, x = Model(net(type_), seed=1), numbers(4, 2, 5)
    first = run(model, x)
    cont = np.ones((4, 2))
    cont[0, 0] = 0
    second = run(model, x, cont)
    np.testing.assert_array_equal(second[:, 0], first[:, 0])
    assert (second[0, 1] != first[0, 1]).any()


@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_gradients_stay_within_a_pass(type_):
    source = parse_net(str(net(type_).message) + "force_backward: true")
    model, x = Model(source, seed=1), numbers(4, 2, 5)
    run(model, x)
    run(model, x)
    model.backward()
    U = next(i for i, use in enumerate(model.graph.node("r").params) if use.spec.name in ("W_hc", "W_hh"))
    assert model.params["r"][U].grad.any()  # the state it began with counts, as a constant


def test_another_N_starts_from_zeros():
    model, x = Model(net(), seed=1), numbers(4, 3, 5)
    run(model, x[:, :2])
    model.reshape({"x": (4, 3, 5), "cont": (4, 3)})
    grown = run(model, x)
    np.testing.assert_array_equal(grown, run(Model(net(N=3), seed=1), x))
    model.reshape({"x": (4, 2, 5), "cont": (4, 2)})
    assert run(model, x[:, :2]).shape == (4, 2, 3)


def test_exposed_states_come_and_go_by_blobs():
    text = SHOWN.replace("propagate_hidden: true", "")
    layer = make_layer("LSTM", text, 4, 3)
    assert layer.bottoms == ("x", "cont", "h_0", "c_0") and layer.tops == ("y", "h_T", "c_T")
    bottoms = [numbers(4, 2, 5), np.ones((4, 2)), numbers(1, 2, 3), numbers(1, 2, 3)]
    params = {"W_xc": numbers(12, 5), "W_hc": numbers(12, 3)}
    first = run_layer("LSTM", text, bottoms, tops=3, params=params)
    np.testing.assert_array_equal(first.y[1][0], first.y[0][-1])
    second = run_layer("LSTM", text, [*bottoms[:2], *first.y[1:]], tops=3, params=params)
    twice = [np.concatenate([x, x]) for x in bottoms[:2]]
    whole = run_layer("LSTM", text, [*twice, *bottoms[2:]], tops=3, params=params)
    np.testing.assert_allclose(second.y[0], whole.y[0][4:], atol=1e-6)


@pytest.mark.parametrize("type_", ["LSTM", "RNN"])
def test_the_state_survives_json_bit_for_bit(type_):
    model, x = Model(net(type_), seed=1), numbers(4, 2, 5)
    run(model, x)
    other = Model(net(type_), seed=1)
    other.restore(json.loads(json.dumps(model.state_dict())))
    np.testing.assert_array_equal(run(other, x), run(model, x))


def test_a_resumed_run_goes_on_bit_for_bit(tmp_path):
    """A stateful net: each batch goes on in the sequences of the batch before."""
    train = """
        layer { name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param {
          shape { dim: 4 dim: 2 dim: 5 } shape { dim: 4 dim: 2 dim: 3 } data_filler { type: "gaussian" } } }
        layer { name: "c" type: "DummyData" top: "cont" dummy_data_param {
          shape { dim: 4 dim: 2 } data_filler { value: 1 } } }
        layer { name: "r" type: "LSTM" bottom: "x" bottom: "cont" top: "y" recurrent_param {
          num_output: 3 weight_filler { type: "uniform" min: -0.5 max: 0.5 } } }
        layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }"""
    text = (
        f'net_param {{ {train} }} base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 6 random_seed: 3 '
        f'snapshot: 3 snapshot_prefix: "{tmp_path}/s"'
    )
    whole = Solver(parse_solver(text))
    whole.solve()
    resumed = Solver(parse_solver(text))
    resumed.restore(tmp_path / "s_iter_3.solverstate")
    resumed.step(3)
    for ours, theirs in zip(resumed.net.params["r"], whole.net.params["r"], strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)


# -- in nets --------------------------------------------------------------------------------------------------


def test_param_specs_go_to_blobs_in_order():
    more = 'param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 } param { name: "U" lr_mult: 3 }'
    uses = Model(net(more=more)).graph.node("r").params
    assert [(use.spec.name, use.lr_mult) for use in uses] == [("W_xc", 1), ("b_c", 2), ("W_hc", 3)]


def test_two_layers_share_weights_by_param_names():
    names = " ".join(f'param {{ name: "{name}" }}' for name in "WbU")
    text = str(net(more=names).message) + (
        f'layer {{ name: "r2" type: "LSTM" bottom: "x" bottom: "cont" top: "z" {names} '
        "recurrent_param { num_output: 3 } } "
        'layer { name: "loss2" type: "Reduction" bottom: "z" top: "loss2" loss_weight: 1 }'
    )
    model = Model(parse_net(text), caffelite.TRAIN, seed=1)
    y = run(model, numbers(4, 2, 5))
    np.testing.assert_array_equal(model.blob("z"), y)
    model.backward()
    assert model.params["r2"][0].shares_with(model.params["r"][0])


def test_a_tiny_captioner_learns():
    """Embed, then an LSTM that sees a picture's features as its static bottom, as LRCN captions pictures."""
    fill = 'weight_filler { type: "uniform" min: -0.3 max: 0.3 }'
    text = f"""
      base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 type: "Adam" random_seed: 1 max_iter: 60 snapshot_after_train: false
      net_param {{
        layer {{ name: "in" type: "Input" top: "words" top: "cont" top: "picture" top: "next" input_param {{
          shape {{ dim: 3 dim: 4 }} shape {{ dim: 3 dim: 4 }} shape {{ dim: 4 dim: 2 }} shape {{ dim: 3 dim: 4 }} }} }}
        layer {{ name: "e" type: "Embed" bottom: "words" top: "e" embed_param {{ input_dim: 5 num_output: 6 {fill} }} }}
        layer {{ name: "l" type: "LSTM" bottom: "e" bottom: "cont" bottom: "picture" top: "h"
          recurrent_param {{ num_output: 8 {fill} }} }}
        layer {{ name: "p" type: "InnerProduct" bottom: "h" top: "p" inner_product_param {{
          axis: 2 num_output: 5 {fill} }} }}
        layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "p" bottom: "next" top: "loss"
          softmax_param {{ axis: 2 }} loss_param {{ ignore_label: -1 }} }} }}"""
    solver = Solver(parse_solver(text))
    sentences = np.array(
        [[1, 2, 0], [1, 3, 0], [4, 2, 0], [4, 3, 0]]
    ).T  # a word for each half of the picture
    given = {
        "words": np.vstack([np.zeros((1, 4)), sentences[:2]]),
        "cont": np.array([[0] * 4, [1] * 4, [1] * 4]),
        "picture": np.array([[0, 0], [0, 1], [1, 0], [1, 1]]),
        "next": sentences,
    }
    for name, values in given.items():
        solver.net.input(name)[...] = values
    solver.solve()
    assert (solver.net.blob("p").argmax(axis=2) == sentences).all()
    assert solver.smoothed_loss < 0.05


# -- errors ---------------------------------------------------------------------------------------------------


def test_another_T_is_refused():
    model = Model(net())
    with pytest.raises(
        ShapeError, match=r"expected x with 4 time steps, as when the net was built, got x=\(6, 2, 5\)"
    ):
        model.reshape({"x": (6, 2, 5), "cont": (6, 2)})
    assert run(model, 1.0).shape == (4, 2, 3)


@pytest.mark.parametrize(
    ("shapes", "text", "expected"),
    [
        ([(4, 2, 5), (4, 3)], TEXT, "cont (4, 2) beside x (T=4, N=2, ...) and num_output 3, got cont=(4, 3)"),
        ([(4,), (4, 1)], TEXT, "x (T, N, ...) with T >= 1 time steps of at least 1 number, got x=(4,)"),
        ([(0, 2, 5), (0, 2)], TEXT, "got x=(0, 2, 5)"),
        ([(4, 2, 5), (4, 2), (3, 7)], TEXT, "static (N=2, ...), one row for each stream, got static=(3, 7)"),
        ([(4, 2, 5), (4, 2), (1, 2, 3), (1, 2, 4)], SHOWN, "c_0 (1, 2, 3) beside"),
        ([(4, 2, 5), (4, 2)], "", "num_output >= 1, got 0\n  Fix: set recurrent_param.num_output"),
        ([(4, 2, 5), (4, 2)], TEXT.replace("3 }", "3 propagate_hidden: true }"), "expose_hidden: true beside"),
    ],
)  # fmt: skip
def test_errors(message, shapes, text, expected):
    assert expected in message("LSTM", text, shapes, tops=3 if "expose_hidden: true" in text else 1)


def test_the_number_of_bottoms():
    text = str(net().message).replace(
        'bottom: "cont"\n  top: "y"', 'bottom: "cont"\n  bottom: "x"\n  top: "y"'
    )
    shown = text.replace("num_output: 3", "num_output: 3 expose_hidden: true")
    with pytest.raises(NetError, match=r"4 to 5 bottom blob\(s\) \(x, cont, static, h_0, c_0\), got 3"):
        Model(parse_net(shown))
