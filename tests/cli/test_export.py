"""``caffelite export``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffelite.export import forms

from .conftest import Run

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

DEPLOY = """
name: "tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 1 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "prob" type: "Softmax" bottom: "conv" top: "prob" }
"""


@pytest.fixture(autouse=True)
def files(clean: Path) -> None:
    Path("deploy.prototxt").write_text(DEPLOY)
    rng = np.random.default_rng(0)
    np.savez("w.npz", **{"conv.0": rng.normal(size=(2, 1, 3, 3)), "conv.1": rng.normal(size=2)})


def test_onnx(run: Run) -> None:
    result = run("export", "onnx", "deploy.prototxt", "w.npz", "-o", "net.onnx", "--batch", "N", "--opset=18")
    assert result.code == 0 and Path("net.onnx").exists()
    assert result.out.startswith("net.onnx: ONNX opset 18, 2 operators\ninput   data (N x 1 x 6 x 6)\n")
    assert "\nagrees with the net in onnxruntime " in result.out


def test_onnx_of_a_training_file_without_weights(run: Run) -> None:
    result = run("export", "onnx", "net.prototxt", "-o", "net.onnx", "--no-check")
    assert result.code == 0 and result.out.endswith("\nnot checked\n")
    assert "note    layer 'loss' (SoftmaxWithLoss) became a Softmax with output 'prob'\n" in result.out


def test_onnx_on_given_inputs(run: Run) -> None:
    np.savez("in.npz", data=np.ones((2, 1, 6, 6)))
    result = run("export", "onnx", "deploy.prototxt", "w.npz", "-o", "net.onnx", "--inputs", "in.npz")
    assert result.code == 0
    Path("in.npz").write_text("no archive")
    assert run("export", "onnx", "deploy.prototxt", "-o", "x", "--inputs", "in.npz").code == 3
    assert run("export", "onnx", "deploy.prototxt", "-o", "x", "--inputs", "none.npz").code == 3
    Path("in.npz").write_bytes(Path("w.npz").read_bytes()[:-30])
    cut_short = run("export", "onnx", "deploy.prototxt", "-o", "x", "--inputs", "in.npz")
    assert cut_short.code == 3 and "'in.npz': damaged" in cut_short.err


def test_a_difference_beyond_the_tolerance_is_exit_code_1_and_no_file(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(forms._forms, "Softmax", lambda to, x: to.op("Sigmoid", x))
    result = run("export", "onnx", "deploy.prototxt", "w.npz", "-o", "net.onnx")
    assert result.code == 1 and not Path("net.onnx").exists()
    assert "computes something else than net 'tiny'" in result.err


@pytest.mark.parametrize("kind", ["safetensors", "npz", "caffemodel", "hdf5"])
def test_weights(run: Run, kind: str) -> None:
    result = run("export", kind, "deploy.prototxt", "w.npz", "-o", "out")
    assert (result.code, result.out) == (0, "w.npz: 1 layers loaded\nwrote out\n")
    again = run("export", "onnx", "deploy.prototxt", "out", "-o", "net.onnx")
    assert again.code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("onx", "a", "b", "-o", "c"), "got 'onx'; did you mean 'onnx'?"),
        (("onnx", "deploy.prototxt"), "expected -o FILE"),
        (("npz", "deploy.prototxt", "-o", "c"), "export npz: expected NET WEIGHTS"),
        (("npz", "deploy.prototxt", "w.npz", "-o", "c", "--opset", "17"), "--opset only with onnx"),
        (("onnx", "deploy.prototxt", "-o", "c", "--phase", "TRAIN"), "nets are exported in phase TEST"),
        (
            ("onnx", "deploy.prototxt", "-o", "c", "--tolerance", "x"),
            "--tolerance: expected a number, got 'x'",
        ),
        (
            ("onnx", "deploy.prototxt", "-o", "c", "--tolerance=-1"),
            "tolerance: expected a number from 0 up, got -1",
        ),
        (
            ("onnx", "deploy.prototxt", "-o", "c", "--tolerance", "nan"),
            "expected a number from 0 up, got nan",
        ),
        (
            ("onnx", "deploy.prototxt", "-o", "./deploy.prototxt"),
            "another file than 'deploy.prototxt', which is read",
        ),
        (("npz", "deploy.prototxt", "w.npz", "-o", "w.npz"), "another file than 'w.npz', which is read"),
        (("onnx", "deploy.prototxt", "-o", "c", "--batch", "0"), "batch: expected a number from 1 up"),
        (("onnx", "deploy.prototxt", "-o", "c", "--opset", "30"), "opset: expected 13 to 21, got 30"),
    ],
)
def test_wrong_usage(run: Run, words: tuple[str, ...], message: str) -> None:
    result = run("export", *words)
    assert result.code == 2 and message in result.err
    assert not Path("c").exists()
