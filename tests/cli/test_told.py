"""Messages of the command line that a newcomer needs: what is there instead, what else is wrong, what to do."""

from __future__ import annotations

import io
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from caffelite.cli.main import main
from caffelite.cli.verbs import command

from .conftest import NET, SOLVER, Run

BAD_SOLVER = """\
net: "absent.prototxt"
base_lrr: 0.1
lr_policy: "stepp"
type: "Adamm"
max_iter: 10
snapshot: 5
snapshot_prefix: "nowhere/tiny"
"""


def write(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name


def test_records_of_the_library_keep_their_severity(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    log = logging.getLogger("caffelite.some")

    def verb(options: object) -> int:
        log.info("by the way")
        log.warning("mind this")
        return 0

    monkeypatch.setattr("caffelite.cli.main.command", lambda name: replace(command("layers"), run=verb))
    lines = run("layers").err.splitlines()
    assert [(line[0], line.split("] ")[1]) for line in lines] == [("I", "by the way"), ("W", "mind this")]
    run("layers")
    assert log.parent is not None and log.getEffectiveLevel() == logging.WARNING


# -- solvers --------------------------------------------------------------------------------------------------


def test_all_problems_of_a_solver_at_once(run: Run) -> None:
    result = run("check", write("bad.prototxt", BAD_SOLVER))
    for place, words in (
        ("2:1", "has no field 'base_lrr'; did you mean 'base_lr'?"),
        ("3:1", "did you mean 'step'?"),
        ("4:1", "did you mean 'Adam'?"),
        ("7:1", "the directory of snapshot_prefix 'nowhere/tiny' does not exist"),
        ("1:1", "net 'absent.prototxt' does not exist"),
    ):
        assert [
            li for li in result.out.splitlines() if li.startswith(f"bad.prototxt:{place}: ") and words in li
        ]
    assert result.out.endswith("1 file: 5 problems\n")
    assert result.code == 2


@pytest.mark.parametrize(
    "line, typo",
    [('lr_policy: "step"', 'lr_polcy: "step"'), ("max_iter: 8", "max_iter: many"), ("net:", "nett:")],
)
def test_a_typo_in_a_solver_is_one_problem(run: Run, line: str, typo: str) -> None:
    result = run("check", write("bad.prototxt", SOLVER.replace(line, typo, 1)))
    assert result.out.endswith("1 file: 1 problem\n"), result.out


def test_a_missing_snapshot_directory_is_no_error_of_the_file(run: Run) -> None:
    result = run("check", write("far.prototxt", SOLVER.replace('prefix: "tiny"', 'prefix: "nowhere/tiny"')))
    assert "Fix: mkdir -p 'nowhere'" in result.out
    assert result.code == 3


# -- shapes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["summary", "show", "check"])
def test_a_shape_of_nothing(run: Run, verb: str) -> None:
    result = run(verb, "net.prototxt", "--shape", "dat=1,1,6,6")
    assert result.code == 2
    assert "no input or data top 'dat'; did you mean 'data'?" in result.err


# -- files of another kind ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["summary", "show"])
def test_a_solver_where_a_net_belongs(run: Run, verb: str) -> None:
    result = run(verb, "solver.prototxt")
    assert result.err == "error: 'solver.prototxt' is a solver's file; its net is 'net.prototxt'\n"
    assert result.code == 2


def test_a_net_where_a_solver_belongs(run: Run) -> None:
    result = run("train", "-solver", "net.prototxt")
    assert result.err == "error: 'net.prototxt' is a net's file, not a solver's\n"
    assert result.code == 2


@pytest.mark.parametrize("words", [["check"], ["show"], ["summary"], ["show", "--stage", "messages"]])
def test_a_file_without_layers(run: Run, words: list[str]) -> None:
    result = run(*words, write("empty.prototxt", ""))
    assert "the net has no layers" in result.out + result.err
    assert result.code == 2


def test_a_phase_without_layers(run: Run) -> None:
    only = (
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 } } include { phase: TRAIN } }'
    )
    result = run("summary", write("train.prototxt", only))
    assert "no layer is left in phase TEST" in result.err
    assert run("check", "train.prototxt").code == 0


# -- what else there is to say --------------------------------------------------------------------------------


def test_verbs_point_to_check(run: Run) -> None:
    bad = NET.replace('type: "xavier"', 'typ: "xavier"')
    result = run("summary", write("bad.prototxt", bad))
    assert result.err.endswith("'caffelite check bad.prototxt' lists all problems\n")
    assert "lists all problems" not in run("check", "bad.prototxt").out


def test_an_unclosed_quote_is_one_problem(run: Run) -> None:
    bad = NET.replace('type: "ReLU" bottom', 'type: "ReLU\nbottom')
    result = run("check", write("bad.prototxt", bad))
    assert result.out.endswith("1 file: 1 problem\n"), result.out


def test_a_type_that_is_known_by_name(run: Run) -> None:
    result = run("layers", "MultiBoxLoss")
    assert "'MultiBoxLoss' is a layer of SSD that caffelite does not have yet" in result.err
    assert result.code == 2


def test_the_folder_of_log_dir_is_made(run: Run) -> None:
    assert run("time", "-model", "net.prototxt", "-iterations", "1", "-log_dir", "a/b").code == 0
    (log,) = Path("a/b").iterdir()
    assert "*** Benchmark ends ***" in log.read_text()


def test_memory_that_there_is_not(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from caffelite.cpu.engine import CpuEngine

    def refuse(self: CpuEngine, nbytes: int) -> None:
        raise MemoryError

    monkeypatch.setattr(CpuEngine, "empty", refuse)
    result = run("time", "-model", "net.prototxt")
    assert result.code == 1
    assert "GiB" in result.err and "Fix: take a smaller batch" in result.err


def test_names_that_a_terminal_cannot_show(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="utf-8"))
    assert main(["check", "latin \udcfc.prototxt"]) == 3
    sys.stdout.flush()
    assert rb"latin \udcfc.prototxt" in buffer.getvalue()


def test_an_error_in_a_python_layer_says_which_layer(run: Run) -> None:
    write(
        "odd_shape.py",
        "import caffe\n\n\nclass Odd(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(-2)\n"
        "    def forward(self, bottom, top): pass\n",
    )
    layer = 'layer { name: "odd" type: "Python" top: "y" python_param { module: "odd_shape" layer: "Odd" } }'
    result = run("summary", write("odd.prototxt", layer))
    assert "expected sizes of at least 0" in result.err
    assert "in reshape of layer 'odd' (Python) at odd.prototxt:1:1" in result.err
    assert result.code == 2
