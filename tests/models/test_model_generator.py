"""models/generate.py: the committed files are its output."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MODELS = Path(__file__).resolve().parents[2] / "models"
GENERATE = MODELS / "generate.py"


@pytest.fixture(scope="module")
def generate() -> dict[str, Any]:
    return runpy.run_path(str(GENERATE))


@pytest.mark.parametrize("kind", ["train_val", "deploy"])
@pytest.mark.parametrize("net", ["alexnet", "vgg16", "googlenet", "resnet50"])
def test_committed_files_are_the_generators_output(generate: dict[str, Any], net: str, kind: str) -> None:
    prototxt: Callable[[str, str], str] = generate["prototxt"]
    committed = (MODELS / net / f"{kind}.prototxt").read_text(encoding="utf-8")
    assert committed == prototxt(net, kind), "run: python models/generate.py"


def test_short_messages_stand_on_one_line(generate: dict[str, Any]) -> None:
    field_lines, enum = generate["field_lines"], generate["Enum"]
    pooling = {"pool": enum("MAX"), "kernel_size": 3, "mean_value": [1, 2.5], "mirror": True, "name": "x"}
    expected = (
        'pooling_param { pool: MAX kernel_size: 3 mean_value: 1 mean_value: 2.5 mirror: true name: "x" }'
    )
    assert field_lines("pooling_param", pooling) == [expected]


def test_long_messages_stand_on_several_lines(generate: dict[str, Any]) -> None:
    lines = generate["field_lines"]("layer", {"name": "n" * 90, "param": {"lr_mult": 1}})
    assert lines == ["layer {", f'  name: "{"n" * 90}"', "  param { lr_mult: 1 }", "}"]


def test_prints_a_net_that_has_no_folder() -> None:
    command = [sys.executable, str(GENERATE), "resnet152", "deploy"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert text.count('type: "Convolution"') == 155
    assert 'name: "scale4b35_branch2c"' in text


@pytest.mark.parametrize("arguments", [["resnet18", "deploy"], ["vgg16"], ["vgg16", "test"]])
def test_refuses_what_it_does_not_know(arguments: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, str(GENERATE), *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr.startswith("usage: generate.py [alexnet|vgg16|")
