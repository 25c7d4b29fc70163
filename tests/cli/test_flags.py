"""Flags in gflags' spellings."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffelite.cli.flags import Flag, first_word, parse
from caffelite.errors import UsageError

FLAGS = (
    Flag("solver", "", "a text"),
    Flag("iterations", 50, "a number"),
    Flag("debug", False, "a switch"),
    Flag("fuse", True, "a switch that is on"),
    Flag("log-format", "caffe", "a choice", choices=("caffe", "rich", "json")),
    Flag("nobody", "", "a text whose name starts like a negation"),
)


@pytest.mark.parametrize("argv", [["-solver", "x"], ["--solver", "x"], ["-solver=x"], ["--solver=x"]])
def test_spellings_of_a_value(argv: list[str]) -> None:
    options = parse(argv, FLAGS)
    assert options.text("solver") == "x"
    assert options.has("solver")
    assert not options.has("iterations")
    assert options.integer("iterations") == 50


@pytest.mark.parametrize(
    ("argv", "debug", "fuse"),
    [
        ([], False, True), (["-debug"], True, True), (["--debug=true"], True, True), (["-debug=0"], False, True),
        (["-nofuse"], False, False), (["--nofuse"], False, False), (["--no-fuse"], False, False), (["-fuse=False"], False, False),
        (["-debug", "-nodebug"], False, True), (["-debug=YES", "-fuse=n"], True, False),
    ],
)  # fmt: skip
def test_spellings_of_a_switch(argv: list[str], debug: bool, fuse: bool) -> None:
    options = parse(argv, FLAGS)
    assert (options.switch("debug"), options.switch("fuse")) == (debug, fuse)


def test_values_may_hold_equals_signs_and_start_with_dashes() -> None:
    assert parse(["-solver=a=b"], FLAGS).text("solver") == "a=b"
    assert parse(["-iterations", "-1"], FLAGS).integer("iterations") == -1
    assert parse(["-nobody", "x"], FLAGS).text("nobody") == "x"


def test_dashes_and_underscores_in_names_are_the_same() -> None:
    assert parse(["--log_format", "json"], FLAGS).text("log-format") == "json"


def test_the_last_value_counts() -> None:
    assert parse(["-iterations", "3", "-iterations=4"], FLAGS).integer("iterations") == 4


def test_several_words() -> None:
    flags = (*FLAGS, Flag("set", (), "keys and values"))
    options = parse(["a", "--set", "K", "(1, 2)", "L", "-1", "-debug", "b", "--set=M", "c d"], flags)
    assert options.several("set") == ["K", "(1, 2)", "L", "-1", "M", "c d"] and options.has("set")
    assert options.arguments == ["a", "b"]
    assert parse([], flags).several("set") == []
    with pytest.raises(UsageError, match="flag '--set' needs a value"):
        parse(["--set"], flags)


def test_words_that_are_no_flags() -> None:
    options = parse(["a", "-debug", "b", "-5", "--", "-solver", "c"], FLAGS)
    assert options.arguments == ["a", "b", "-5", "-solver", "c"]


def test_lists() -> None:
    assert parse(["-solver", "a, b,,c"], FLAGS).items("solver") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-slover", "x"], "unknown flag '--slover'; did you mean 'solver'?"),
        (["-nosolver"], "unknown flag '--nosolver'"),
        (["-nodebug=1"], "unknown flag '--nodebug'"),
        (["-solver"], "flag '-solver' needs a value"),
        (["-iterations", "many"], "--iterations: expected a whole number, got 'many'"),
        (["-debug=maybe"], "--debug: expected true or false, got 'maybe'"),
        (
            ["--log-format", "jsn"],
            "--log-format: expected one of caffe, rich, json, got 'jsn'; did you mean 'json'?",
        ),
        (["--flagfile=absent"], "--flagfile 'absent'"),
    ],
)
def test_mistakes(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(argv, FLAGS)
    assert message in str(caught.value)


def test_environment_replaces_defaults_and_the_line_replaces_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAGS_iterations", "7")
    monkeypatch.setenv("FLAGS_log_format", "rich")
    assert parse([], FLAGS).integer("iterations") == 7
    assert parse([], FLAGS).text("log-format") == "rich"
    assert parse(["-iterations", "8"], FLAGS).integer("iterations") == 8


def test_flag_files(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("-iterations=9\n")
    outer.write_text(
        f"# a comment\n\n--solver=x\n-debug\n--nobody y z\n--flagfile={inner}\nother_program\n--solver=z\n"
    )
    options = parse(["-iterations", "1", f"--flagfile={outer}"], FLAGS)
    assert (options.text("solver"), options.switch("debug"), options.integer("iterations")) == ("x", True, 9)
    assert options.text("nobody") == "y z"


def test_flag_files_that_name_each_other(tmp_path: Path) -> None:
    file = tmp_path / "flags"
    file.write_text(f"--flagfile={file}\n")
    with pytest.raises(UsageError, match="without end"):
        parse(["--flagfile", str(file)], FLAGS)


@pytest.mark.parametrize(
    ("argv", "position"),
    [
        (["train", "-solver", "x"], 0), (["-solver", "x", "train"], 2), (["-solver=x", "train"], 1), (["-debug", "train"], 1),
        (["--flagfile", "f", "train"], 2), (["-solver", "train"], None), ([], None),
    ],
)  # fmt: skip
def test_the_verb_may_come_after_flags(argv: list[str], position: int | None) -> None:
    assert first_word(argv, FLAGS) == position
