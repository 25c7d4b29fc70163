"""Which layers a net has in a given state: Caffe's phase, level and stages, include and exclude rules.

Source: ``Net::FilterNet`` and ``Net::StateMeetsRule`` of BVLC Caffe's ``net.cpp``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from caffelite.errors import NetError, layer_message
from caffelite.graph.problems import Problems
from caffelite.prototxt.source import NetSource, Where
from caffelite.types import Phase


@dataclass(frozen=True)
class State:
    """The state that rules are matched against."""

    phase: Phase = Phase.TEST
    level: int = 0
    stages: tuple[str, ...] = ()

    def merged(self, message: Any) -> State:
        """This state, overridden by the fields that a NetState message sets; its stages are added."""
        phase = Phase(message.phase) if message.HasField("phase") else self.phase
        level = message.level if message.HasField("level") else self.level
        return State(phase, level, self.stages + tuple(message.stage))


@dataclass(frozen=True)
class Entry:
    """A layer's message and where it stands."""

    message: Any
    where: Where


def net_state(source: NetSource, phase: int, level: int = 0, stages: Iterable[str] = ()) -> State:
    """The state of a net that no solver made: as asked, with the stages that the net's own ``state`` adds.

    Its phase and level do not count, as in the constructor of Caffe's Net.
    """
    return State(Phase(phase), level, (*source.message.state.stage, *stages))


def filter_layers(
    source: NetSource, state: State, problems: Problems | None = None
) -> tuple[list[Entry], list[str]]:
    """Layers that the state includes, with notes on those it does not.

    A layer with rules of both kinds is a NetError: raised, or added to ``problems`` and the layer kept.
    """
    kept, notes = [], []
    for message, where in zip(source.message.layer, source.origins, strict=True):
        if message.include and message.exclude:
            _report(_mixed(message, where), problems)
        reason = _dropped(message, state)
        if reason:
            notes.append(reason)
        else:
            kept.append(Entry(message, where))
    return kept, notes


def require_layers(source: NetSource, state: State, kept: Sequence[object]) -> None:
    """Raises NetError for a net without layers, and for one of which a state leaves none."""
    net = f"net '{source.message.name}'" if source.message.name else "net"
    place = f"{net} in '{source.file}'" if source.file else net
    if not source.message.layer:
        raise NetError(f"{place}: the net has no layers")
    if not kept:
        raise NetError(
            f"{place}: no layer is left in phase {state.phase.name}\n"
            "  Fix: choose another phase, level or stage, or mend the include and exclude rules"
        )


def _report(error: NetError, problems: Problems | None) -> None:
    if problems is None:
        raise error
    problems.add(error)


def _mixed(layer: Any, where: Where) -> NetError:
    return NetError(
        layer_message(
            layer.name, layer.type, where.at("exclude", 0), "expected include rules or exclude rules", "both",
            "say the exclusion with include { not_stage: ... } or drop one kind",
        )
    )  # fmt: skip


def _dropped(layer: Any, state: State) -> str:
    if layer.include:
        misses = [_mismatch(rule, state) for rule in layer.include]
        return "" if "" in misses else f"{layer.name} is left out: {misses[0]}"
    hit = any(not _mismatch(rule, state) for rule in layer.exclude)
    return f"{layer.name} is left out: an exclude rule is met" if hit else ""


def _mismatch(rule: Any, state: State) -> str:
    """Why a rule is not met; empty if it is."""
    if rule.HasField("phase") and rule.phase != state.phase:
        return f"phase {state.phase.name} is not {Phase(rule.phase).name}"
    if rule.HasField("min_level") and state.level < rule.min_level:
        return f"level {state.level} is under min_level {rule.min_level}"
    if rule.HasField("max_level") and state.level > rule.max_level:
        return f"level {state.level} is over max_level {rule.max_level}"
    return _stage_mismatch(rule.stage, rule.not_stage, state.stages)


def _stage_mismatch(wanted: Iterable[str], unwanted: Iterable[str], stages: tuple[str, ...]) -> str:
    for stage in wanted:
        if stage not in stages:
            return f"stage '{stage}' is not set"
    for stage in unwanted:
        if stage in stages:
            return f"not_stage '{stage}' is set"
    return ""
