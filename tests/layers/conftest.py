"""Fixtures for tests of layers."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from caffelite.errors import NetError
from caffelite.testing import layer, make_layer
from caffelite.types import Phase

from ..cuda.emulated import emulated_engine
from .python_layers import MODULE


@pytest.fixture(autouse=True, scope="session")
def on_every_engine() -> Iterator[None]:
    """``check_layer`` checks the CUDA engine as well, on an emulated device."""
    emulated = emulated_engine()
    layer.ENGINES.append(emulated)
    yield
    layer.ENGINES.remove(emulated)


@pytest.fixture
def message():
    """The text of the error that building a layer raises, without the place in the file."""

    def message(type_, text="", shapes=((2, 3, 5, 4),), tops=1, phase=Phase.TRAIN):
        with pytest.raises(NetError) as caught:
            make_layer(type_, text, len(shapes), tops, phase).infer(list(shapes))
        place = r" at <text>:1:\d+"
        assert re.search(place, str(caught.value)), "the message does not say where the layer stands"
        return re.sub(place, "", str(caught.value))

    return message


@pytest.fixture
def my_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets nets find ``MODULE`` under the name ``my_layers``."""
    (tmp_path / "my_layers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_layers", None)
