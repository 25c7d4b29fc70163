"""Fixtures of the tools' tests: a folder to work in, and command lines as an old user would type them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from caffelite.cli.main import main
from caffelite.data.database import open_database
from caffelite.data.datum import Datum


@dataclass
class Result:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of the log without their prefixes."""
        return [line.partition("] ")[2] for line in self.err.splitlines()]


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in and a new log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GLOG_minloglevel", raising=False)
    monkeypatch.setattr(importlib.import_module("caffelite.logs.log"), "_log", None)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command line in this process: ``run("convert_imageset -gray ROOT/ LIST DB")``."""

    def call(line: str, *more: str) -> Result:
        capsys.readouterr()
        code = main([*line.split(), *more])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


def records(path: str | Path) -> list[tuple[str, Datum]]:
    """Keys and records of a database of either kind."""
    with closing(open_database(path)) as reader:
        return [(reader.key(n), Datum.decode(record)) for n, record in enumerate(reader.read(0, len(reader)))]


def write_images(folder: str | Path, *shapes: tuple[int, ...], kind: str = "png") -> list[np.ndarray]:
    """Images of random pixels, ``0.png`` and so on; (H, W) for grey ones."""
    import cv2

    Path(folder).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, shape, np.uint8) for shape in shapes]
    for number, image in enumerate(images):
        assert cv2.imwrite(str(Path(folder) / f"{number}.{kind}"), image)
    return images
