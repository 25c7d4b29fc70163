"""Whole models as ONNX: ours with random weights, published ones with their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffelite import export
from caffelite.export.check import Session
from caffelite.model import Model

from .conftest import randomize

MODELS = Path(__file__).resolve().parents[2] / "models"
PUBLISHED = (
    "aod_net_dehaze", "cifar10_quick_everpeace_5000", "lenet_ethereon", "lenet_everpeace_10000", "mtcnn_det1", "mtcnn_det2", "mtcnn_det3",
    "resnet20_cifar", "siamese_itortoise_40000", "yufacedetectnet_v1",
)  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models(shared, tmp_path, name):
    """onnxruntime gives what Caffe gave on the image that came with the model."""
    folder, path = shared / "models" / name, tmp_path / "net.onnx"
    net, weights = folder / "deploy.prototxt", folder / "weights.caffemodel"
    (first, *_) = Model(net, backward=False).graph.inputs
    with np.load(folder / "reference.npz") as archive:
        arrays = {key: archive[key] for key in archive.files if key.startswith(("input", "out_"))}
    inputs = {key[6:] or first: array for key, array in arrays.items() if key.startswith("input")}
    shapes = {key: array.shape for key, array in inputs.items()}
    batch = None if name == "yufacedetectnet_v1" else "N"  # its detections need a fixed one
    assert export.onnx(net, weights, path, batch=batch, shapes=shapes, inputs=inputs).ok
    results = Session(path).run({key: array.astype(np.float32) for key, array in inputs.items()})
    for key, got in results.items():
        want = arrays[f"out_{key}"].reshape(-1)
        np.testing.assert_allclose(got.reshape(-1)[: want.size], want, rtol=0, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize(
    "name", ["lenet", "digits", *(pytest.param(n, marks=pytest.mark.slow) for n in ("googlenet", "resnet50"))]
)
@pytest.mark.parametrize("kind", ["deploy", "train_val"])
def test_own_models(tmp_path, name, kind):
    side = {"lenet": 28, "digits": 26}.get(name, 224)
    shape = (1, 1 if side < 30 else 3, side, side)
    net = MODELS / name / f"{kind}.prototxt"
    made = export.onnx(net, None, tmp_path / "a.onnx", shapes={"data": shape}, check=False)
    assert made.inputs == {"data": shape}
    if kind == "deploy":
        model = Model(net, backward=False, seed=0)
        randomize(model, -0.05, 0.05)
        assert export.onnx(model, None, tmp_path / "b.onnx", batch=1).ok
