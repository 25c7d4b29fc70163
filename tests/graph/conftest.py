"""Graphs from text in one call, and the errors of nets that cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from caffelite.errors import NetError
from caffelite.graph.build import build_graph
from caffelite.graph.graph import Graph
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase


@pytest.fixture
def graph() -> Callable[..., Graph]:
    """``graph(text, phase, **options)`` builds a net."""

    def build(text: str, phase: Phase = Phase.TRAIN, **options: object) -> Graph:
        return build_graph(parse_net(text, "net.prototxt"), phase, **options)  # type: ignore[arg-type]

    return build


@pytest.fixture
def refused(graph: Callable[..., Graph]) -> Callable[..., str]:
    """``refused(text, phase, **options)`` is the message of a net that cannot be built."""

    def message(text: str, phase: Phase = Phase.TRAIN, **options: object) -> str:
        with pytest.raises(NetError) as caught:
            graph(text, phase, **options)
        return str(caught.value)

    return message
