"""Layer cases that BVLC Caffe computed, as ONNX in onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from caffelite import export
from caffelite.export.check import Session
from caffelite.layers.registry import lookup
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase


def expected_in_test(kind: str, phase: str) -> bool:
    """Whether the case's tops are those of a deployed net too."""
    differs = phase == "TRAIN" and kind in ("BatchNorm", "Dropout")
    return not (differs or kind == "Accuracy" or lookup(kind).loss)


def test_tops_are_caffes(shared: Path, tmp_path: Path) -> None:
    checked = 0
    for file in sorted((shared / "golden" / "layers").glob("*.npz")):
        with np.load(file) as case:
            meta = json.loads(str(case["meta"]))
            if expected_in_test(meta["layer"], meta["phase"]):
                _check(file.name, case, tmp_path / "layer.onnx")
                checked += 1
    assert checked > 100


def _check(name: str, case: np.lib.npyio.NpzFile, path: Path) -> None:
    model = Model(parse_net(str(case["net"])), Phase.TEST)
    for i, param in enumerate(model.params.get("t", [])):
        param.load(case[f"param_{i}"].astype(np.float32))
    export.onnx(model, None, path, check=False)
    session = Session(path)
    inputs = {blob: case[f"bottom_{blob[1:]}"].astype(np.float32) for blob in session.inputs}
    for blob, got in session.run(inputs).items():
        want = case[f"top_{blob[1:]}"]
        assert got.shape == want.shape, name
        scale = max(np.abs(want).max(initial=0), 1e-3)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * scale, err_msg=name)
