"""Python layers: where their modules come from, and what goes wrong in them."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from caffelite.errors import NetError
from caffelite.layers.python import _built_in
from caffelite.model import Model

from .python_layers import CONV, MODULE, SUM, blob, net, python

pytestmark = pytest.mark.usefixtures("my_layers")


def test_its_own_exception_comes_through_with_a_note() -> None:
    model = net(blob() + python("Seen"))
    with pytest.raises(ValueError, match="42") as caught:
        model.forward()
    assert any("layer 'seen' (Python)" in note for note in caught.value.__notes__)


def test_an_exception_of_setup_names_the_layer() -> None:
    with pytest.raises(Exception, match="need two inputs") as caught:
        net(blob() + python("Euclidean"))
    assert any("setup of layer 'euclidean' (Python)" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    ("layer", "module", "message"),
    [
        ("Double", "no_such_module", "expected a module 'no_such_module'.*PYTHONPATH"),
        ("Duoble", "my_layers", "expected a class 'Duoble' in module 'my_layers'.*did you mean 'Double'"),
        ("NoLayer", "my_layers", "subclass of caffe.Layer"),
        ("NoForward", "my_layers", r"a method forward\(bottom, top\) in class 'NoForward'"),
    ],
)
def test_what_is_not_there(layer: str, module: str, message: str) -> None:
    with pytest.raises(NetError, match=f"(?s)layer '{layer.lower()}'.*{message}"):
        net(blob() + python(layer, module=module))


def test_a_module_that_imports_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text("import caffe\nimport nowhere_to_be_found\n")
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        net(blob() + python("X", module="half"))


@pytest.mark.parametrize("name", ["", ".relative", ".."])
def test_a_module_without_a_name(name: str) -> None:
    with pytest.raises(NetError, match="(?s)layer 'double'.*expected the name of a module, got"):
        net(blob() + python("Double", module=name))


def test_an_exception_of_the_module_names_the_layer(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("print 'Python 2'\n")
    with pytest.raises(SyntaxError) as caught:
        net(blob() + python("X", module="old"))
    assert any("importing module 'old' of layer 'x' (Python)" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("method", ["__init__", "reshape", "forward", "backward"])
def test_an_exception_names_the_method_once(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = net(blob() + CONV + python("Moody", "c") + SUM)
    monkeypatch.setattr(sys.modules["my_layers"].Moody, "fails", method)
    with pytest.raises(RuntimeError, match=method) as caught:
        net(blob() + python("Moody")) if method == "__init__" else model.forward()
        model.backward()
    assert [note.partition(" at ")[0] for note in caught.value.__notes__] == [
        f"in {method} of layer 'moody' (Python)"
    ]


def test_a_net_goes_on_after_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a pass, with another shape under way; a backward pass in between does no harm."""
    model = net(blob() + CONV + python("Moody", "c") + SUM)
    model.forward()
    mood = sys.modules["my_layers"].Moody
    for fails in ("reshape", "forward"):
        monkeypatch.setattr(mood, "size", 6)
        monkeypatch.setattr(mood, "fails", fails)
        with pytest.raises(RuntimeError):
            model.forward()
        model.backward()
        monkeypatch.setattr(mood, "fails", "")
        assert model.forward() == 6 * 6 * 3 * 9
        monkeypatch.setattr(mood, "size", 2)
        assert model.forward() == 2 * 2 * 3 * 9
        model.clear_grads()
        model.backward()
        assert model.params["conv"][1].grad == pytest.approx([5 * 4 * 9] * 3)


def test_no_backward() -> None:
    model = net(blob() + CONV + python("Forwards", "c") + SUM)
    model.forward()
    with pytest.raises(NetError, match=r"layer 'forwards'.*a method backward\(top, propagate_down, bottom\)"):
        model.backward()


def test_a_module_beside_the_prototxt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "beside.py").write_text(MODULE)
    (folder / "net.prototxt").write_text(blob() + python("Double", module="beside"))
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    try:
        Model(folder / "net.prototxt").forward()
    finally:
        sys.modules.pop("beside", None)
    assert sys.path == path


def test_a_module_that_is_built_in_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _built_in.cache_clear()
    text = (
        blob("s", "dim: 1 dim: 18 dim: 2 dim: 2")
        + blob("d", "dim: 1 dim: 36 dim: 2 dim: 2")
        + blob("i", "dim: 1 dim: 3")
    )
    text += python("ProposalLayer", "s d i", "rois", "param_str: '{feat_stride: 16}'", "rpn.proposal_layer")
    with caplog.at_level(logging.INFO, "caffelite"):
        net(text)
        net(text)
    assert [record.getMessage() for record in caplog.records] == [
        "Python module 'rpn.proposal_layer' is not in the path: caffelite's own, caffelite.boxes.rpn_layers, is used"
    ]
