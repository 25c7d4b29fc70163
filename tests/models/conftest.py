"""The files of ``models/`` as nets, without the databases that their training files name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from caffelite.prototxt.source import NetSource, read_net

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.fixture(scope="session")
def read_model() -> Callable[..., NetSource]:
    """``read_model(net, kind, batch=0)``: a file of ``models/``; with a batch size its data come from Input layers."""

    def read(net: str, kind: str, batch: int = 0) -> NetSource:
        source = read_net(MODELS / net / f"{kind}.prototxt")
        for layer in source.message.layer if batch else ():
            if layer.type == "Data":
                size = layer.transform_param.crop_size or 28
                shapes = [[batch, 3 if size > 28 else 1, size, size], [batch]]
                layer.type = "Input"
                for dims in shapes:
                    layer.input_param.shape.add(dim=dims)
        return source

    return read
