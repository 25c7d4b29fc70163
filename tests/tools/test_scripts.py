"""Scripts under the names that Caffe's programs and scripts have, and these names as verbs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from caffelite.cli import main as cli
from caffelite.cli.verbs import OLD_NAMES, VERBS, current

from .conftest import Run
from .test_parse_log import LOG

TOOLS = Path(__file__).resolve().parents[2] / "tools"
OLD = [
    "convert_imageset", "compute_image_mean", "extract_features", "upgrade_net_proto_text", "upgrade_net_proto_binary",
    "upgrade_solver_proto_text", "convert_mnist_data", "convert_cifar_data", "convert_mnist_siamese_data",
    "classification", "classify.py", "detect.py", "draw_net.py", "train.py", "download_model_binary.py",
    "extra/extract_seconds.py", "extra/parse_log.py", "extra/plot_training_log.py", "extra/summarize.py",
    "extra/resize_and_crop_images.py",
]  # fmt: skip


@pytest.mark.parametrize("name", OLD)
def test_scripts_are_alike_but_for_their_names(name: str) -> None:
    path = TOOLS / name
    assert os.access(path, os.X_OK)
    text = path.read_text()
    verb = current(path.name)[0]
    assert verb in VERBS
    assert text.splitlines()[-1] == f'sys.exit(main(["{path.name}", *sys.argv[1:]]))'
    same = [line for line in text.splitlines() if "help" not in line][1:-1]
    first = [line for line in (TOOLS / OLD[0]).read_text().splitlines() if "help" not in line][1:-1]
    assert [line.replace("parents[2]", "parents[1]") for line in same] == first


@pytest.mark.parametrize("name", OLD)
def test_old_names_are_verbs_with_and_without_their_ending(run: Run, name: str) -> None:
    file = name.rpartition("/")[2]
    for word in (file, file.removesuffix(".py") if file != "train.py" else file):
        assert run(f"{word} --help").out.startswith(f"usage: caffelite {current(file)[0]} ")
        assert run(f"help {word}").code == 0


def test_each_verb_with_an_old_name_tells_it(run: Run) -> None:
    for old, (verb, *_) in OLD_NAMES.items():
        assert old in run(f"help {verb}").out.split("\n\n")[2]


def test_verbs_and_old_names_are_different() -> None:
    assert not set(OLD_NAMES) & set(VERBS)
    assert all(verb in VERBS for verb, *_ in OLD_NAMES.values())
    assert cli.VERBS is VERBS


def test_a_misspelt_old_name(run: Run) -> None:
    assert "did you mean 'compute_image_mean'?" in run("compute_image_maen").err


@pytest.mark.parametrize("name", OLD)
def test_the_page_on_tools_tells_of_each(name: str) -> None:
    page = (TOOLS.parent / "docs/tools.md").read_text()
    file = name.rpartition("/")[2]
    assert f"| `{file} " in page and f"| `{current(file)[0]}` | `caffelite {current(file)[0]} " in page


def shell(*words: str) -> subprocess.CompletedProcess[str]:
    """A command line outside of this process, without the package on the path."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables["PYTHON"] = sys.executable
    return subprocess.run(words, capture_output=True, text=True, env=variables, check=False)


def test_a_script_runs_from_a_checkout_in_any_folder() -> None:
    Path("train.log").write_text(LOG)
    result = shell(sys.executable, str(TOOLS / "extra/extract_seconds.py"), "train.log", "seconds.txt")
    assert (result.returncode, result.stderr) == (0, "")
    assert Path("seconds.txt").read_text().startswith("0.000000\n")


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
def test_parse_log_sh_is_for_a_shell() -> None:
    Path("train.log").write_text(LOG)
    result = shell("sh", str(TOOLS / "extra/parse_log.sh"), "train.log")
    assert (result.returncode, result.stderr) == (0, "")
    assert Path("train.log.test").read_text().startswith("#Iters")


@pytest.mark.parametrize("words", [[str(TOOLS / "convert_imageset")], ["-m", "caffelite"]])
def test_where_caffelite_is_not_installed(words: list[str]) -> None:
    """A Python without NumPy, -S: without what pip has installed."""
    command = [sys.executable, "-S", *words]
    variables = {"PATH": os.environ["PATH"]}
    result = subprocess.run(
        command, capture_output=True, text=True, env=variables, cwd=TOOLS.parent, check=False
    )
    assert result.returncode == 5 and "Traceback" not in result.stderr
    assert result.stderr.startswith("error: caffelite needs 'numpy', which is not installed for ")
    assert f"\n  Fix: python -m pip install '{TOOLS.parent}', or use the Python of " in result.stderr


def test_the_command_caffe() -> None:
    result = shell(sys.executable, str(TOOLS / "caffe"), "train")
    assert result.returncode == 2 and "Need a solver definition to train." in result.stderr
