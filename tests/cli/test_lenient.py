"""``--lenient``: fields that nobody knows, and those of forks that a layer does not act on, are warnings."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import NET, SOLVER, Run

ODD = NET.replace("num_output: 2", "num_output: 2 colour: 7 tf_pad: VALID").replace(
    'name: "tiny"', 'name: "tiny" size: 1'
)
WORDS = (
    ": the net has no field 'size'; ignored",
    ": convolution_param has no field 'colour'; ignored",
    "convolution_param has tf_pad, a field of a fork of Caffe that would change the result; ignored",
)


@pytest.fixture
def odd(run: Run) -> str:
    Path("odd.prototxt").write_text(ODD)
    Path("odd_solver.prototxt").write_text(SOLVER.replace("net.prototxt", "odd.prototxt") + "speed: 3\n")
    return "odd.prototxt"


@pytest.mark.parametrize(
    "words",
    [
        ("train", "-solver", "odd_solver.prototxt"),
        ("time", "-model", "odd.prototxt", "-iterations", "1"),
        ("summary", "odd.prototxt"),
        ("show", "odd.prototxt", "--stage", "graph"),
        ("check", "odd.prototxt"),
        ("check", "odd_solver.prototxt"),
    ],
)
def test_every_verb_goes_on_and_names_what_it_passed_over(run: Run, odd: str, words: tuple[str, ...]) -> None:
    strict = run(*words)
    assert strict.code == 2 and "has no field" in strict.out + strict.err
    result = run(*words, "--lenient")
    assert result.code == 0, result.err
    for word in WORDS:
        told = [line for line in result.err.splitlines() if word in line]
        assert told and all(line.startswith("W") for line in told)
    if "solver" in words[-1]:
        assert "has no field 'speed'; ignored" in result.err


def test_test_too(run: Run, odd: str) -> None:
    run("train", "-solver", "odd_solver.prototxt", "--lenient")
    result = run("test", "-model", odd, "-weights", "tiny_iter_8.caffemodel", "-iterations", "1", "-lenient")
    assert result.code == 0 and WORDS[2] in result.err


def test_it_ends_with_the_command(run: Run, odd: str) -> None:
    assert run("summary", odd, "--lenient").code == 0
    assert run("summary", odd).code == 2
