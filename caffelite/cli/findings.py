"""Finds all problems of a net or solver file, whichever stage would have stopped at them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from caffelite.cli.nets import free_tops, without_data
from caffelite.errors import CaffeliteError, DataError, NetError, Problem, PrototxtError, UnknownNameError
from caffelite.graph.build import build_graph
from caffelite.graph.graph import Graph
from caffelite.graph.problems import NetErrors, Problems
from caffelite.graph.state import State, filter_layers
from caffelite.prototxt.binary import read_bytes
from caffelite.prototxt.kinds import kind_of
from caffelite.prototxt.lenience import is_lenient, tell_ignored
from caffelite.prototxt.positions import Where
from caffelite.prototxt.source import NetSource, SolverSource, net_from_message
from caffelite.prototxt.text import read_text
from caffelite.prototxt.upgrade import upgrade_solver
from caffelite.types import Location, Phase, Shape

_PLACE = re.compile(r" at (?P<file>[^\n]+?):(?P<line>\d+):(?P<column>\d+): ")
_NO_TYPE = "unknown type ''"


@dataclass(frozen=True)
class Finding:
    """One problem: where, what, in which phases, and what the command line ends with because of it."""

    location: Location
    text: str
    exit_code: int = NetError.exit_code
    phases: set[Phase] = field(default_factory=set, compare=False)
    follows: bool = False  # may be a consequence of another problem in the same layer

    def __str__(self) -> str:
        only = f" (phase {min(self.phases).name})" if len(self.phases) == 1 else ""
        head, newline, fix = self.text.partition("\n")
        return f"{self.location}: {head}{only}{newline}{fix}"


@dataclass
class Request:
    """What nets are checked with: states, shapes of their inputs. ``tops`` collects whose shapes could be given."""

    states: Sequence[State]
    shapes: Mapping[str, Shape]
    tops: set[str] = field(default_factory=set)


def check_file(path: str, request: Request) -> list[Finding]:
    """The findings of a file in the order of their places. A solver's are followed by those of its nets."""
    try:
        text = read_bytes(path, "net or solver")
    except CaffeliteError as error:
        return [_finding(error, path)]
    check = _check_solver if kind_of(text) == "SolverParameter" else _check_net
    return check(text, path, request)


# -- nets ----------------------------------------------------------------------------------------------------


def _check_net(text: bytes, path: str, request: Request) -> list[Finding]:
    reading = read_text(text, "NetParameter", path, lenient=is_lenient())
    tell_ignored(reading.notes)
    findings = [_from_problem(problem) for problem in reading.problems]
    try:
        source = net_from_message(reading.message, path, Where(reading.positions))
    except CaffeliteError as error:
        return findings or [_finding(one, path) for one in _parts(error)]
    if not source.message.layer and findings:
        return findings
    lines = sorted(where.at().line for where in source.origins)
    broken = {bisect_right(lines, problem.location.line) for problem in reading.problems}
    for finding in _check_graphs(source, request):
        if not finding.follows or bisect_right(lines, finding.location.line) not in broken:
            findings.append(finding)
    return sorted(findings, key=lambda finding: finding.location)


def _check_graphs(source: NetSource, request: Request) -> list[Finding]:
    found: dict[tuple[Location, str], Finding] = {}
    for state in _states(source, request.states):
        request.tops |= free_tops(source, state)
        for error in _graph_errors(source, state, request.shapes):
            for part in _parts(error):
                finding = _finding(part, source.file)
                found.setdefault((finding.location, finding.text), finding).phases.add(state.phase)
    return list(found.values())


def _states(source: NetSource, states: Sequence[State]) -> Sequence[State]:
    """The states in which the net has layers: one for training alone is not wrong. All if it has none in any."""
    return [state for state in states if filter_layers(source, state, Problems())[0]] or states


def _graph_errors(source: NetSource, state: State, shapes: Mapping[str, Shape]) -> list[CaffeliteError]:
    try:
        graph = build_graph(without_data(source, dict(shapes)), state=state, shapes=shapes)
    except CaffeliteError as error:
        return [error]
    graph.close()
    return []


# -- solvers -------------------------------------------------------------------------------------------------


def _check_solver(text: bytes, path: str, request: Request) -> list[Finding]:
    from caffelite.solver.check import check_solver

    reading = read_text(text, "SolverParameter", path, lenient=is_lenient())
    tell_ignored(reading.notes)
    findings = [_from_problem(problem) for problem in reading.problems]
    where = Where(reading.positions)
    source = SolverSource(reading.message, where, path)
    try:
        upgrade_solver(source.message, path, where)
    except CaffeliteError as error:
        findings += [_finding(one, path) for one in _parts(error)]
    broken = {problem.location.line for problem in reading.problems}  # a value there is missing, and told
    told = [problem for problem in check_solver(source) if problem.location.line not in broken - {1}]
    findings += [*map(_from_problem, told), *_snapshot_folder(source)]
    findings.sort(key=lambda finding: finding.location)
    for name, place in _nets(source):
        if Path(name).exists():
            findings += check_file(name, request)
        else:
            fix = f"paths count from the working directory, which is '{Path.cwd()}'"
            findings.append(Finding(place, f"net '{name}' does not exist\n  Fix: {fix}"))
    return findings or [_finding(error, path) for error in _monitor_errors(source, request.shapes)]


def _monitor_errors(source: SolverSource, shapes: Mapping[str, Shape]) -> list[CaffeliteError]:
    """What is wrong with the test output that a run looks at, told from test nets without problems of their own."""
    from caffelite.solver.best import find_monitor
    from caffelite.solver.nets import test_plans

    graphs: list[Graph] = []
    try:
        for plan in test_plans(source, Path()):
            state = State().merged(plan.state)
            graphs.append(build_graph(without_data(plan.source, dict(shapes)), state=state, shapes=shapes))
        find_monitor(source, graphs)
    except CaffeliteError as error:
        return _parts(error)
    finally:
        for graph in graphs:
            graph.close()
    return []


def _snapshot_folder(source: SolverSource) -> Iterator[Finding]:
    param = source.message
    folder = Path(param.snapshot_prefix).parent
    if param.snapshot_prefix and not folder.is_dir():
        fix = f"mkdir -p '{folder}'"
        text = f"the directory of snapshot_prefix '{param.snapshot_prefix}' does not exist\n  Fix: {fix}"
        yield Finding(source.where.at("snapshot_prefix"), text, DataError.exit_code)


def _nets(source: SolverSource) -> Iterable[tuple[str, Location]]:
    """The net files that a solver names, each once."""
    param, where = source.message, source.where
    named = [(getattr(param, name), where.at(name)) for name in ("train_net", "net") if param.HasField(name)]
    named += [(file, where.at("test_net", index)) for index, file in enumerate(param.test_net)]
    return dict(reversed(named)).items()


# -- errors to findings --------------------------------------------------------------------------------------


def _parts(error: CaffeliteError) -> list[CaffeliteError]:
    if isinstance(error, NetErrors):
        return [part for one in error.errors for part in _parts(one)]
    if isinstance(error, PrototxtError):
        return [PrototxtError([problem]) for problem in error.problems]
    return [error]


def _finding(error: CaffeliteError, path: str) -> Finding:
    """A finding from an error, whose place moves from inside its text to the front."""
    if isinstance(error, PrototxtError):
        return _from_problem(error.problems[0])
    text = str(error)
    follows = not isinstance(error, UnknownNameError) or _NO_TYPE in text
    place = _PLACE.search(text)
    if place is None:
        return Finding(Location(path), text, error.exit_code, follows=follows)
    location = Location(place["file"], int(place["line"]), int(place["column"]))
    return Finding(
        location, f"{text[: place.start()]}: {text[place.end() :]}", error.exit_code, follows=follows
    )


def _from_problem(problem: Problem) -> Finding:
    text = f"{problem.message}\n  Fix: {problem.fix}" if problem.fix else problem.message
    return Finding(problem.location, text)
