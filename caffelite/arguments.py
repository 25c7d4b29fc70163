"""Checks of what scripts hand to pycaffe's names. Each raises a UsageError that says what was expected and what came."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from caffelite.errors import ArgumentTypeError, UsageError
from caffelite.graph.graph import Graph
from caffelite.params import Array
from caffelite.types import Phase, Shape

Hook = Callable[[int], None]


def checked_phase(phase: Any) -> Phase:
    """``caffe.TRAIN`` or ``caffe.TEST``."""
    if phase not in (Phase.TRAIN, Phase.TEST):
        raise UsageError(f"phase: expected caffe.TRAIN (0) or caffe.TEST (1), got {phase!r}")
    return Phase(phase)


def checked_level(level: Any) -> int:
    """A level. A string is taken for weights in the wrong place."""
    if isinstance(level, str):
        fix = f"a weights file goes by name, weights='{level}'"
        raise ArgumentTypeError(f"level: expected a whole number, got '{level}'\n  Fix: {fix}")
    return checked_integer("level", level)


def checked_integer(name: str, value: Any) -> int:
    """A whole number, NumPy's too."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise ArgumentTypeError(f"{name}: expected a whole number, got {value!r}") from error


def checked_stages(stages: Sequence[str] | None) -> tuple[str, ...]:
    """A list of stages."""
    if isinstance(stages, str) or not all(isinstance(stage, str) for stage in stages or ()):
        raise ArgumentTypeError(f"stages: expected a list of strings, got {stages!r}")
    return tuple(stages or ())


def checked_hook(hook: Hook) -> Hook:
    """Something to call with the position of a layer."""
    if not callable(hook):
        raise ArgumentTypeError(f"expected a callable that takes the position of a layer, got {hook!r}")
    return hook


def check_names(given: Collection[str], wanted: Sequence[str], message: str) -> None:
    """Keywords that name exactly these blobs."""
    if set(given) != set(wanted):
        raise UsageError(f"{message} Expected {sorted(wanted)}, got {sorted(given)}")


def check_batch(array: Array, shape: Shape, what: str) -> None:
    """An array with as many items as its blob."""
    if np.shape(array)[:1] != shape[:1]:
        raise UsageError(f"{what} is not batch sized: expected shape {shape}, got {np.shape(array)}")


def check_items(given: Mapping[str, Array]) -> None:
    """Arrays of as many items each."""
    items = {name: len(array) for name, array in given.items()}
    if len(set(items.values())) > 1:
        raise UsageError(f"expected arrays of as many items, got {items}")


def check_order(early: int, late: int, text: str) -> None:
    """Two layers in the order of the net."""
    if early > late:
        raise UsageError(f"{text} in the net: no layer would run")


def not_memory_data(graph: Graph, layer: str | None) -> str:
    """What to say of arrays for a layer that takes none."""
    if layer is not None:
        text = f"set_input_arrays: layer '{layer}' is no MemoryData layer"
    else:
        text = "set_input_arrays may only be called if the first layer is a MemoryDataLayer"
    takers = [node.name for node in graph.nodes if node.type == "MemoryData"]
    return f"{text}\n  Fix: set_input_arrays(data, labels, layer='{takers[0]}')" if takers else text
