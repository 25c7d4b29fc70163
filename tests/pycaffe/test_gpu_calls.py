"""set_mode_gpu and set_device: an error, or a warning for a script that takes caffelite for caffe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])


WITHOUT = "import sys; sys.modules['cupy'] = None\n"  # as where CuPy is not installed


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, timeout=60, env={"PYTHONPATH": ROOT, "PATH": ""}
    )  # fmt: skip


def test_an_error_by_itself() -> None:
    done = run("import caffelite\ncaffelite.set_mode_gpu()\n")
    assert done.returncode == 1
    assert "DeviceError" in done.stderr
    done = run("import caffelite\ncaffelite.set_device(0)\n")
    assert "DeviceError: set_device(0): GPU 0: CuPy is not installed" in done.stderr


def test_a_warning_in_an_old_script() -> None:
    done = run(
        "import caffelite\ncaffelite.install_as_caffe()\nimport caffe\ncaffe.set_device(0)\ncaffe.set_mode_gpu()\nprint('on')\n"
    )
    assert (done.returncode, done.stdout) == (0, "on\n")
    assert "set_device(0): GPU 0: CuPy is not installed; going on on the CPU" in done.stderr
    assert "set_mode_gpu(): GPU 0: CuPy is not installed; going on on the CPU" in done.stderr
