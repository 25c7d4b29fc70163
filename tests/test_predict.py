"""Predictions: NumPy in, new arrays out, any batch, any thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from caffelite.errors import CaffeliteError, NetError, UsageError
from caffelite.predict import Predictor, load
from caffelite.prototxt.source import parse_net

NET = """
name: "net"
layer { name: "input" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "norm" type: "Scale" bottom: "data" top: "data" scale_param { filler { value: 0.5 } bias_term: true } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { type: "uniform" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(5, 3, 8, 8)).astype("float32")


@pytest.fixture(params=["reference", "cpu"])
def engine(request) -> str:
    return request.param


def predictor(engine: str = "reference", seed: int = 1, **options: object) -> Predictor:
    return Predictor(parse_net(NET), engine=engine, seed=seed, **options)  # type: ignore[arg-type]


def test_by_position_and_by_name(engine) -> None:
    predict = predictor(engine)
    by_position, by_name = predict(IMAGES), predict(data=IMAGES)
    assert list(by_position) == ["prob"] and by_position["prob"].shape == (5, 10)
    np.testing.assert_array_equal(by_position["prob"], by_name["prob"])
    np.testing.assert_allclose(by_name["prob"].sum(axis=1), 1, rtol=1e-5)


def test_results_are_new_and_contiguous(engine) -> None:
    predict = predictor(engine, outputs=["conv"])
    first = predict(IMAGES)
    kept = {name: value.copy() for name, value in first.items()}
    predict(-IMAGES)
    for name, value in first.items():
        assert value.flags.c_contiguous and value.flags.owndata
        np.testing.assert_array_equal(value, kept[name])


def test_inputs_are_left_alone(engine) -> None:
    images = IMAGES.copy()
    predictor(engine)(images)
    np.testing.assert_array_equal(images, IMAGES)


@pytest.mark.parametrize("outputs", [(), ("conv",)])
def test_the_same_call_gives_the_same(engine, outputs: tuple[str, ...]) -> None:
    """Although the net overwrites its input in place."""
    predict = predictor(engine, outputs=outputs)
    first, second = predict(IMAGES), predict(IMAGES)
    np.testing.assert_array_equal(first["prob"], second["prob"])


def test_any_batch_and_any_image_size(engine) -> None:
    predict = predictor(engine)
    whole = predict(IMAGES)["prob"]
    for i in range(5):
        np.testing.assert_allclose(predict(IMAGES[i : i + 1])["prob"], whole[i : i + 1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(predict(IMAGES[2])["prob"][0], whole[2], rtol=1e-4, atol=1e-6)  # a single item
    assert predict(np.zeros((2, 3, 11, 5)))["prob"].shape == (2, 10)
    assert predict(IMAGES[:0])["prob"].shape == (0, 10)
    np.testing.assert_allclose(predict(IMAGES)["prob"], whole, rtol=1e-5, atol=1e-7)


def test_any_number_type(engine) -> None:
    predict = predictor(engine)
    want = predict(np.full((1, 3, 8, 8), 200, "float32"))["prob"]
    for value in (
        np.full((1, 3, 8, 8), 200, "uint8"),
        np.full((1, 3, 8, 8), 200.0),
        np.full((1, 3, 8, 8), 200).tolist(),
    ):
        np.testing.assert_array_equal(predict(value)["prob"], want)
    strided = np.full((1, 8, 8, 3), 200, "uint8").transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(predict(strided)["prob"], want)


def test_more_blobs_on_demand(engine) -> None:
    predict = predictor(engine, outputs=["conv", "fc"])
    result = predict(IMAGES)
    assert list(result) == ["prob", "conv", "fc"]
    assert result["conv"].shape == (5, 8, 6, 6) and result["conv"].min() == 0
    np.testing.assert_allclose(result["prob"], predictor(engine)(IMAGES)["prob"], rtol=1e-5, atol=1e-7)
    with pytest.raises(UsageError, match="net 'net' has no blob 'conv9'"):
        predictor(engine, outputs=["conv9"])


def test_memory_is_reused_between_layers(engine) -> None:
    lean, full = predictor(engine), predictor(engine, outputs=["conv"])
    lean(IMAGES), full(IMAGES)
    assert lean.model.storage.nbytes < full.model.storage.nbytes
    assert not lean.model.executor.plan.diff


@pytest.mark.parametrize(
    ("args", "named", "message"),
    [
        ((), {}, r"expected inputs \['data'\], got 0 by position and \[\]"),
        ((IMAGES, IMAGES), {}, "got 2 by position"),
        ((IMAGES,), {"data": IMAGES}, r"got 1 by position and \['data'\]"),
        ((), {"dta": IMAGES}, r"got 0 by position and \['dta'\]"),
        ((IMAGES[0, 0],), {}, r"input 'data': expected 4 axes as in \(1, 3, 8, 8\), got \(8, 8\)"),
        ((IMAGES + 1j,), {}, "input 'data': expected real numbers, got an array of complex64"),
        ((np.full((1, 3, 8, 8), "x"),), {}, "input 'data': expected real numbers, got an array of <U1"),
    ],
)
def test_wrong_arguments(args: tuple, named: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        predictor()(*args, **named)


def test_a_failed_call_leaves_the_predictor(engine) -> None:
    predict = predictor(engine)
    want = predict(IMAGES)["prob"]
    for wrong in (np.zeros((1, 3, 2, 2)), np.zeros((1, 5, 8, 8))):
        with pytest.raises(NetError, match="layer"):
            predict(wrong)
    np.testing.assert_array_equal(predict(IMAGES)["prob"], want)


def test_an_input_overwritten_by_a_layer_that_cannot_work_in_place() -> None:
    """The array to fill is the input's own, not where the blob's last version lies."""
    text = NET.replace('type: "Scale"', 'type: "LRN"').replace(
        "scale_param { filler { value: 0.5 } bias_term: true }", ""
    )
    predict = Predictor(parse_net(text), engine="reference", seed=1)
    apart = Predictor(
        parse_net(text.replace('type: "LRN" bottom: "data" top: "data"', 'type: "LRN" bottom: "data" top: "n"').replace(
            'type: "Convolution" bottom: "data"', 'type: "Convolution" bottom: "n"')),
        engine="reference", seed=1,
    )  # fmt: skip
    for _ in range(2):
        np.testing.assert_array_equal(predict(IMAGES)["prob"], apart(IMAGES)["prob"])


# -- files -----------------------------------------------------------------------------------------------------


def test_load(tmp_path: Path, engine) -> None:
    (tmp_path / "deploy.prototxt").write_text(NET)
    first = predictor(engine)
    first.model.save(tmp_path / "weights.caffemodel")
    predict = load(tmp_path / "deploy.prototxt", tmp_path / "weights.caffemodel", engine=engine)
    assert predict.report is not None and predict.report.loaded == ["norm", "conv", "fc"]
    assert predict.inputs == ["data"]
    np.testing.assert_array_equal(predict(IMAGES)["prob"], first(IMAGES)["prob"])
    assert load(tmp_path / "deploy.prototxt").report is None
    with pytest.raises(CaffeliteError, match="does not exist"):
        load(tmp_path / "deploy.prototxt", tmp_path / "none")


# -- threads ---------------------------------------------------------------------------------------------------


def in_threads(work: list, calls: int = 30) -> list[list[np.ndarray]]:
    """Each predictor in ``work`` in a thread of its own, all started at once."""
    start = threading.Barrier(len(work))

    def run(item: tuple[Predictor, np.ndarray]) -> list[np.ndarray]:
        predict, images = item
        start.wait()
        return [predict(images[: 1 + i % 5])["prob"] for i in range(calls)]

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work))


def test_two_predictors_in_two_threads(engine) -> None:
    inputs = [IMAGES, -2 * IMAGES]
    want = [
        [predictor(engine, seed=i)(x[: 1 + j % 5])["prob"] for j in range(5)] for i, x in enumerate(inputs)
    ]
    got = in_threads([(predictor(engine, seed=i), x) for i, x in enumerate(inputs)])
    for mine, theirs in zip(got, want, strict=True):
        for j, prob in enumerate(mine):
            np.testing.assert_array_equal(prob, theirs[j % 5])


def test_one_predictor_in_many_threads(engine) -> None:
    predict = predictor(engine)
    inputs = [IMAGES * scale for scale in (1, -1, 2, 0.5)]
    want = [[predict(x[: 1 + j % 5])["prob"] for j in range(5)] for x in inputs]
    for mine, theirs in zip(in_threads([(predict, x) for x in inputs]), want, strict=True):
        for j, prob in enumerate(mine):
            np.testing.assert_array_equal(prob, theirs[j % 5])


def test_an_option_that_there_is_not() -> None:
    with pytest.raises(TypeError, match=r"load\(\) got an unexpected keyword argument 'bogus'"):
        load("deploy.prototxt", bogus=1)
