"""summary, check, show, layers: what the command line says about nets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caffelite.layers.registry import layer_types

from .conftest import SOLVER, Run

SIX_ERRORS = """\
name: "six"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer {
  name: "conv"
  type: "Convolution"
  bottom: "data"
  top: "conv"
  convolution_param { num_ouput: 4 kernel_size: 3 }
}
layer { name: "relu" type: "Relu" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVERAGE kernel_size: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "dta" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "big" type: "Convolution" bottom: "data" top: "b" convolution_param { num_output: 2 kernel_size: 11 } }
layer { name: "prob" type: "Softmax" bottom: "data" top: "prob" softmax_param { axis: 9 } }
layer { name: "after" type: "Softmax" bottom: "conv" top: "after" }
"""


# -- check ----------------------------------------------------------------------------------------------------


def test_six_errors_have_six_places(run: Run, tmp_path: Path) -> None:
    (tmp_path / "six.prototxt").write_text(SIX_ERRORS)
    result = run("check", "six.prototxt")
    lines = [line for line in result.out.splitlines() if line.startswith("six.prototxt:")]
    assert result.code == 2
    assert [line.split(": ")[0] for line in lines] == [
        "six.prototxt:8:23", "six.prototxt:10:22", "six.prototxt:11:87", "six.prototxt:12:41", "six.prototxt:13:1",
        "six.prototxt:14:81",
    ]  # fmt: skip
    for line, words in zip(
        lines,
        (
            "convolution_param has no field 'num_ouput'; did you mean 'num_output'?",
            "unknown type 'Relu'; did you mean 'ReLU'?",
            "got 'AVERAGE'; did you mean 'AVE'?",
            "bottom 'dta' is produced by no earlier layer",
            "expected a kernel that fits",
            "expected an axis from -4 to 3",
        ),
        strict=True,
    ):
        assert words in line
    assert "did you mean 'data'?" in result.out
    assert result.out.endswith("1 file: 6 problems\n")


def test_a_good_net(run: Run) -> None:
    result = run("check", "net.prototxt", "solver.prototxt")
    assert (result.code, result.out) == (0, "2 files: no problems, TRAIN and TEST\n")


def test_phases_are_told_apart(run: Run, tmp_path: Path) -> None:
    text = (
        (tmp_path / "net.prototxt")
        .read_text()
        .replace('bottom: "label" top: "accuracy"', 'bottom: "lable" top: "accuracy"')
    )
    (tmp_path / "net.prototxt").write_text(text)
    out = run("check", "net.prototxt").out
    assert "net.prototxt:19:56: layer 'accuracy' (Accuracy): bottom 'lable'" in out
    assert "earlier layer (phase TEST)\n" in out


def test_solvers_are_checked_with_their_nets(run: Run, tmp_path: Path) -> None:
    (tmp_path / "six.prototxt").write_text(SIX_ERRORS)
    text = SOLVER.replace('"net.prototxt"', '"six.prototxt"').replace("lr_policy", "lr_polcy")
    (tmp_path / "solver.prototxt").write_text(text)
    assert (
        "solver.prototxt:6:1: the solver has no field 'lr_polcy'; did you mean 'lr_policy'?"
        in run("check", "solver.prototxt").out
    )
    (tmp_path / "solver.prototxt").write_text(
        text.replace("lr_polcy", "lr_policy").replace('"step"', '"stp"')
    )
    out = run("check", "solver.prototxt", "six.prototxt").out
    assert "got 'stp'; did you mean 'step'?" in out
    assert out.endswith("2 files: 7 problems\n")


def test_a_solver_without_its_net(run: Run, tmp_path: Path) -> None:
    (tmp_path / "solver.prototxt").write_text(SOLVER.replace('"net.prototxt"', '"absent.prototxt"'))
    result = run("check", "solver.prototxt")
    assert result.code == 2
    assert "solver.prototxt:2:1: net 'absent.prototxt' does not exist" in result.out


DATA_NET = """
layer {
  name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "absent_lmdb" batch_size: 2 backend: LMDB }
}
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 9 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" }
"""


@pytest.mark.parametrize(
    "data", ['type: "AnnotatedData"', 'type: "Python" python_param { module: "loader" layer: "Roi" }']
)
def test_data_layers_that_are_not_there_can_be_replaced_by_shapes(
    run: Run, tmp_path: Path, data: str
) -> None:
    text = f'layer {{ name: "in" {data} top: "data" top: "im_info" top: "boxes" }}\n'
    text += 'layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }'
    (tmp_path / "net.prototxt").write_text(text)
    assert run("summary", "net.prototxt").code == 2
    given = run("summary", "net.prototxt", "--shape", "data=1,3,4,5,im_info=1,3,boxes=2,5")
    assert given.code == 0
    assert "1x3x4x5  1x3  2x5" in given.out


def test_missing_data_is_exit_code_3_and_can_be_replaced_by_shapes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(DATA_NET)
    result = run("check", "net.prototxt")
    assert result.code == 3
    assert "net.prototxt:2:1: layer 'data' (Data)" in result.out
    assert "absent_lmdb" in result.out
    small = run("check", "net.prototxt", "--shape", "data=2,3,4,4")
    assert small.code == 2
    assert "expected a kernel that fits" in small.out
    assert run("check", "net.prototxt", "--shape", "data=2,3,9,9").code == 0
    assert run("summary", "net.prototxt", "--shape=data=2,3,9,9,label=2,1,1").code == 0
    told = run("summary", "net.prototxt")
    assert told.code == 3
    assert "--shape data=N,C,H,W" in told.err


def test_missing_and_binary_files(run: Run, tmp_path: Path) -> None:
    result = run("check", "absent.prototxt")
    assert (result.code, "absent.prototxt' does not exist" in result.out) == (3, True)
    (tmp_path / "weights").write_bytes(b"\x0a\x04tiny\0\0\xff")
    result = run("check", "weights")
    assert result.code == 2
    assert "this is a binary file, not a prototxt" in result.out


# -- summary --------------------------------------------------------------------------------------------------


def test_summary_of_a_small_net(run: Run) -> None:
    lines = run("summary", "net.prototxt", "--phase", "TRAIN").out.splitlines()
    rows = {line.split()[0]: line.split() for line in lines if line}
    assert rows["conv"] == ["conv", "Convolution", "4x2x4x4", "20", "1,152", "75.0", "512", "B"]
    assert rows["ip"] == ["ip", "InnerProduct", "4x3", "99", "384", "25.0", "48", "B"]
    assert rows["relu"][3:] == ["-", "-", "-", "-"]
    assert rows["parameters"][1] == "119"
    assert "multiply-adds  1,536, 384 for each of 4 items" in lines
    assert not any("Split" in line for line in lines)


def test_summary_in_json(run: Run) -> None:
    found = json.loads(run("summary", "net.prototxt", "--json").out)
    assert (found["params"], found["macs"], found["items"], found["phase"]) == (119, 1536, 4, "TEST")
    assert [layer["layer"] for layer in found["layers"]] == ["data", "conv", "relu", "ip", "accuracy", "loss"]
    assert found["layers"][1]["tops"] == {"conv": [4, 2, 4, 4]}
    assert found["blob_bytes"] == sum(layer["bytes"] for layer in found["layers"])


def test_summary_tells_statistics_from_parameters(run: Run, tmp_path: Path) -> None:
    net = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } } '
    net += 'layer { name: "bn" type: "BatchNorm" bottom: "x" top: "x" } layer { name: "s" type: "Scale" bottom: "x" top: "x" }'
    (tmp_path / "bn.prototxt").write_text(net)
    assert "parameters     3, and 7 statistics (40 B)" in run("summary", "bn.prototxt").out


# -- show, layers ---------------------------------------------------------------------------------------------


def test_show_stages(run: Run) -> None:
    messages = run("show", "net.prototxt", "--stage", "messages").out
    assert 'name: "tiny"\nlayer {\n  name: "data"\n  type: "DummyData"\n' in messages
    graph = run("show", "net.prototxt", "--stage=graph", "--phase", "TRAIN").out
    assert "net 'tiny' phase TRAIN: 5 layers, 4 params" in graph
    assert "conv@1 (4 2 4 4)" in graph
    plan = run("show", "net.prototxt", "-stage", "plan", "--engine", "reference", "--observe").out
    assert "plan of 'tiny' phase TEST on reference, float32, keeps every blob" in plan
    assert "bytes without reuse" in plan or "without reuse" in plan


def test_show_takes_old_nets(run: Run, tmp_path: Path) -> None:
    old = 'input: "x" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 4 layers { name: "r" type: RELU bottom: "x" top: "x" }'
    (tmp_path / "old.prototxt").write_text(old)
    out = run("show", "old.prototxt", "--stage", "messages").out
    assert out.startswith("# ")
    assert 'type: "Input"' in out
    assert 'type: "ReLU"' in out


def test_unknown_stage(run: Run) -> None:
    result = run("show", "net.prototxt", "--stage", "grpah")
    assert result.code == 2
    assert "got 'grpah'; did you mean 'graph'?" in result.err


def test_layers_lists_every_type_with_a_line(run: Run) -> None:
    out = run("layers").out
    for type_ in layer_types():
        line = next(line for line in out.splitlines() if line.split()[:1] == [type_])
        assert len(line.split()) > 2, f"{type_} has no description"
    assert "``" not in out


def test_one_layer(run: Run) -> None:
    out = run("layers", "Pooling").out
    assert "bottoms: x\ntops:    y, mask (may be left out)" in out
    assert "pooling_param:" in out
    assert "kernel_size" in out
    assert "avg_include_pad" not in out  # another fork's, which the layer refuses
    assert 'layer { name: "pooling" type: "Pooling" bottom: "x" top: "y"' in out
    assert "MAX, AVE, STOCHASTIC  " in out


@pytest.mark.parametrize(("word", "meant"), [("pooling", "Pooling"), ("Convolutoin", "Convolution")])
def test_unknown_layer(run: Run, word: str, meant: str) -> None:
    result = run("layers", word)
    assert result.code == 2
    assert f"did you mean '{meant}'?" in result.err
