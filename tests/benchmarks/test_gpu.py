"""The proof of the CUDA engine, on an emulated device."""

from __future__ import annotations

import json

from caffelite import engine as engines

from ..cuda.emulated import emulated_engine


def test_the_report(tmp_path, monkeypatch, capsys):
    from benchmarks import gpu

    monkeypatch.setattr(
        gpu,
        "get_engine",
        lambda name: emulated_engine() if name.startswith("cuda") else engines.get_engine(name),
    )
    folder = tmp_path / "golden"
    folder.mkdir()
    for name in ("AbsVal_02", "Convolution_02"):
        (folder / f"{name}.npz").write_bytes((gpu.ROOT / "tests/golden/layers" / f"{name}.npz").read_bytes())
    net = tmp_path / "small.prototxt"
    net.write_text("""
        layer { name: "in" type: "Input" top: "data" top: "label" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
        layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 10 } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }""")
    assert gpu.main([str(net), "--golden", str(folder), "--out", str(tmp_path), "--iterations", "2"]) == 0
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["versions"]["gpu"] == "emulated" and report["repeated"]
    assert {row["case"] for row in report["layers"]} == {"AbsVal_02", "Convolution_02"}
    assert [row["what"] for row in report["times"]] == ["train", "infer"]
    assert "| small | train |" in capsys.readouterr().out
