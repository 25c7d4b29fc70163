"""The command line as a whole: help, verbs, exit codes, log formats."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from caffelite.cli import main as cli
from caffelite.cli.flags import Options
from caffelite.errors import CaffeliteError, DataError, DeviceError, NetError, NotFiniteError

from .conftest import Run


@pytest.mark.parametrize("argv", [[], ["help"], ["--help"], ["-h"], ["help", "help"]])
def test_overview_names_every_verb(run: Run, argv: list[str]) -> None:
    result = run(*argv)
    assert result.code == 0
    for verb in cli.VERBS:
        assert re.search(rf"^  {verb} +\S", result.out, re.MULTILINE)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_each_verb_has_a_page_with_all_its_flags(run: Run, verb: str) -> None:
    page = run("help", verb).out
    assert page.startswith(f"usage: caffelite {verb} ")
    for flag in cli.command(verb).flags:
        assert (f"  -{flag.name}" in page) == (not flag.hidden)
        assert flag.help
    assert run(verb, "--help").out == page
    assert max(map(len, page.splitlines())) <= 104


def test_verbs_that_may_stand_behind_their_flags_agree_on_the_kinds_of_flags() -> None:
    kinds: dict[str, type] = {}
    for verb in cli.NETS:
        for flag in cli.command(verb).flags:
            assert kinds.setdefault(flag.key, type(flag.default)) is type(flag.default), flag.name


def test_version(run: Run) -> None:
    assert re.fullmatch(r"caffelite version \d+\.\d+\.\d+\S*\n", run("--version").out)


@pytest.mark.parametrize(
    ("word", "meant"), [("trian", "train"), ("sumary", "summary"), ("Check", "check"), ("fit", "train")]
)
def test_unknown_verb(run: Run, word: str, meant: str) -> None:
    result = run(word)
    assert result.code == 2
    assert result.err.startswith(f"error: unknown verb '{word}'; did you mean '{meant}'?")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["train"], "Need a solver definition to train."),
        (["test"], "Need a model definition to score."),
        (["test", "-model", "net.prototxt"], "Need model weights to score."),
        (["time"], "Need a model definition to time."),
        (["time", "-model", "net.prototxt", "-phase", "VAL"], 'phase must be "TRAIN" or "TEST"'),
        (["time", "-model", "net.prototxt", "-iterations", "0"], "-iterations: expected at least 1, got 0"),
        (
            ["train", "-solver", "s", "-snapshot", "a", "-weights", "b"],
            "Give a snapshot to resume training or weights",
        ),
        (
            ["train", "-solver", "s", "-sigint_effect", "halt"],
            "--sigint_effect: expected one of stop, snapshot, none, got 'halt'",
        ),
        (["train", "solver.prototxt"], "train: expected flags only, got 'solver.prototxt'"),
        (["summary"], "summary: expected NET, got nothing"),
        (["summary", "net.prototxt", "--shape", "data"], "--shape: expected NAME=N,C,H,W, got 'data'"),
        (["-solver", "x"], "expected a verb"),
        (["data", "minst"], "data: expected one of mnist, mean, got 'minst'; did you mean 'mnist'?"),
        (["data", "mnist"], "expected --from DIR"),
        (["data", "mean", "x"], "data mean: expected LMDB OUT"),
        (["summary", "net.prototxt", "--minloglevel", "9"], "--minloglevel: expected 0 to 3, got 9"),
        (["time", "-model", "net.prototxt", "--threads", "-1"], "--threads: expected at least 1"),
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, argv: list[str], message: str) -> None:
    result = run(*argv)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "argv", [["train", "-solver", "solver.prototxt"], ["time", "-model", "net.prototxt"], ["device_query"]]
)
def test_without_cupy_gpus_are_exit_code_5(run: Run, without_cupy: None, argv: list[str]) -> None:
    result = run(*argv, "-gpu", "0")
    assert result.code == 5
    assert "error: GPU 0: CuPy is not installed\n  Fix: pip install 'caffelite[cuda]'" in result.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CaffeliteError("x"), 1), (NetError("x"), 2), (DataError("x"), 3), (NotFiniteError("x"), 4), (DeviceError("x"), 5),
        (MemoryError(), 1), (KeyboardInterrupt(), 130),
    ],
)  # fmt: skip
def test_exit_codes(run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    def fail(options: Options) -> int:
        raise error

    monkeypatch.setattr(cli, "command", lambda verb: cli.Command("fails", fail))
    result = run("summary")
    assert result.code == code
    assert result.err.startswith("error: ")
    traced = run("summary", "--traceback")
    assert traced.code == code
    assert "in fail" in traced.err


def test_errors_in_json(run: Run) -> None:
    result = run("summary", "absent.prototxt", "--log-format", "json")
    record = json.loads(result.err)
    assert (result.code, record["kind"], record["exit_code"]) == (3, "error", 3)
    assert "absent.prototxt" in record["text"]


def test_a_wrong_threshold_in_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "x")
    result = run("summary", "net.prototxt")
    assert (result.code, result.err) == (
        2,
        "error: GLOG_minloglevel in the environment: expected 0 to 3, got 'x'\n",
    )


def test_log_dir(run: Run, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    assert run("time", "-model", "net.prototxt", "-iterations", "1", "--log_dir", tmp_path / "logs").code == 0
    (file,) = (tmp_path / "logs").iterdir()
    assert "*** Benchmark ends ***" in file.read_text()


def test_closed_pipe_is_no_traceback() -> None:
    command = f"{sys.executable} -m caffelite layers | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=_root(),
    )
    assert done.stderr == ""
    assert done.stdout.startswith("type")


def test_summary_starts_fast_and_loads_no_engine() -> None:
    code = (
        "import sys; from caffelite.cli.main import main; code = main(['summary', sys.argv[1]]);"
        "heavy = {'cv2', 'lmdb', 'h5py', 'cupy', 'matplotlib', 'rich', 'caffelite.cpu.onednn'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    net = _root() / "models" / "googlenet" / "deploy.prototxt"
    done = subprocess.run(
        [sys.executable, "-c", code, str(net)], capture_output=True, text=True, timeout=240, cwd=_root()
    )
    assert done.returncode == 0, done.stderr


def _root() -> Path:
    return Path(__file__).resolve().parents[2]
