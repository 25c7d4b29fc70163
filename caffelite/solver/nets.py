"""The nets of a solver: which files or messages they come from, in which states, sharing what.

Source: ``Solver::InitTrainNet`` and ``Solver::InitTestNets`` of BVLC Caffe's ``solver.cpp``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffelite.errors import MissingFileError
from caffelite.graph.graph import Graph
from caffelite.graph.state import State
from caffelite.logs.net_lines import log_net, used_text
from caffelite.model import Model
from caffelite.prototxt.schema import message
from caffelite.prototxt.source import NetSource, SolverSource, net_from_message, read_net
from caffelite.solver.lines import Lines
from caffelite.types import Phase

TRAIN_FIELDS = ("net", "net_param", "train_net", "train_net_param")

Builder = Callable[..., Model]  # Model with its engine and other options already given


@dataclass(frozen=True)
class NetPlan:
    """One net to build: how the log calls its origin, how to read it, and the state it is built in."""

    origin: str
    source: NetSource
    state: Any  # NetState message, merged


def test_net_count(p: Any) -> int:
    """Nets that are tested: each test_net_param and test_net, and one net for each test_iter left over."""
    return max(len(p.test_iter), len(p.test_net_param) + len(p.test_net))


def train_plan(solver: SolverSource, root: Path) -> NetPlan:
    """The net to train. Raises MissingFileError, PrototxtError and NetError as reading nets does."""
    p = solver.message
    field = next(field for field in TRAIN_FIELDS if p.HasField(field))
    source = _read(solver, root, field)
    inside = field.endswith("_param")
    origin = f"specified in {field}." if inside else f"from {field} file: {getattr(p, field)}"
    return NetPlan(origin, source, merged_state(Phase.TRAIN, source.message.state, p.train_state))


def test_plans(solver: SolverSource, root: Path) -> Iterator[NetPlan]:
    """The nets to test, in Caffe's order: test_net_param, test_net, then the training net's definition."""
    p = solver.message
    origins: list[tuple[str, NetSource]] = []
    for index in range(len(p.test_net_param)):
        origins.append(("test_net_param", _read(solver, root, "test_net_param", index)))
    for index, file in enumerate(p.test_net):
        origins.append((f"test_net file: {file}", _read(solver, root, "test_net", index)))
    remaining = test_net_count(p) - len(origins)
    if remaining:
        field = "net_param" if p.HasField("net_param") else "net"
        origin = field if field == "net_param" else f"net file: {p.net}"
        origins += [(origin, _read(solver, root, field))] * remaining
    for index, (origin, source) in enumerate(origins):
        extra = p.test_state[index] if p.test_state else message("NetState")()
        yield NetPlan(origin, source, merged_state(Phase.TEST, source.message.state, extra))


def merged_state(phase: Phase, *states: Any) -> Any:
    """A NetState: the phase, overridden by each of the given ones in turn; stages add up."""
    merged = message("NetState")()
    merged.phase = int(phase)
    for state in states:
        merged.MergeFrom(state)
    return merged


def build_train_net(solver: SolverSource, root: Path, build: Builder, lines: Lines) -> Model:
    """Builds and logs the net to train."""
    plan = train_plan(solver, root)
    lines.log.emit("net", f"Creating training net {plan.origin}", "solver.cpp:102")
    net = _build(plan, build, lines)
    if text := _without_loss(net.graph):
        lines.message(text, severity="W")
    return net


def build_test_nets(solver: SolverSource, root: Path, build: Builder, lines: Lines) -> list[Model]:
    """Builds and logs the nets to test, in order."""
    nets = []
    for index, plan in enumerate(test_plans(solver, root)):
        lines.log.emit("net", f"Creating test net (#{index}) specified by {plan.origin}", "solver.cpp:190")
        nets.append(_build(plan, build, lines))
    return nets


def _without_loss(graph: Graph) -> str:
    """What to say of a net that cannot learn, as Caffe does not; ``force_backward`` is for gradients from elsewhere."""
    if graph.force_backward or any(value.loss_weight for value in graph.values):
        return ""
    return (
        f"net '{graph.name}' has no loss in phase {graph.phase.name}: no gradients, so no parameter will learn"
        "\n  Fix: add a loss layer (SoftmaxWithLoss, EuclideanLoss, ...), or loss_weight: 1 to the layer whose top is "
        "to be made small; check the include rules of the one that is there"
    )


def _build(plan: NetPlan, build: Builder, lines: Lines) -> Model:
    state = State().merged(plan.state)
    net = build(plan.source, state=state)
    log_net(lines.log, net.graph, used_text(plan.source, state, plan.state))
    return net


def _read(solver: SolverSource, root: Path, field: str, index: int | None = None) -> NetSource:
    """A net that a field of the solver names by file or holds as a message."""
    value = getattr(solver.message, field)
    path: tuple[str | int, ...] = (field,)
    if index is not None:
        value, path = value[index], (field, index)
    if field.endswith("_param"):
        return net_from_message(value, solver.file, solver.where.inside(*path))
    return _read_file(value, root, solver.file)


def _read_file(name: str, root: Path, solver_file: str) -> NetSource:
    path = root / name
    if path.exists():
        return read_net(path)
    beside = Path(solver_file).parent / name
    fix = f"paths in a solver file count from the working directory, here '{root.resolve()}'"
    if solver_file and beside.exists():
        fix += f"; there is a '{beside}'"
    raise MissingFileError(path, "net", fix)
