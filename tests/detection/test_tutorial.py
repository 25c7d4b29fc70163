"""The tutorial: its notebook is that of the page, and runs from the first cell to the last."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs/detection_tutorial.md"
NOTEBOOK = ROOT / "docs/notebooks/detection.ipynb"


def cells(kind: str) -> list[str]:
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def test_the_notebook_is_that_of_the_page():
    spec = importlib.util.spec_from_file_location("notebook", ROOT / "tools/notebook.py")
    assert spec and spec.loader
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    fix = "python tools/notebook.py docs/detection_tutorial.md docs/notebooks/detection.ipynb"
    assert NOTEBOOK.read_text(encoding="utf-8") == tool.notebook(PAGE, NOTEBOOK), fix


def test_links_of_the_notebook_lead_to_pages():
    links = [link.split(")")[0] for text in cells("markdown") for link in text.split("](")[1:]]
    assert links
    for link in links:
        assert (NOTEBOOK.parent / link.split("#")[0]).exists(), link


def test_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TUTORIAL_PICTURES", "12")
    monkeypatch.setenv("TUTORIAL_ITERATIONS", "4")
    monkeypatch.setenv("TUTORIAL_FOLDER", str(tmp_path))
    names: dict[str, Any] = {}
    for number, code in enumerate(cells("code")):
        exec(compile(code, f"cell {number}", "exec"), names)
    said = capsys.readouterr().out
    assert "run_faster: mAP" in said and "run_fast: mAP" in said
    assert (tmp_path / "run_faster/detector.caffemodel").exists()
    assert names["drawn"].shape == names["image"].shape and (names["drawn"] != names["image"]).any()
