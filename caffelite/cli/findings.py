"""Finds all problems of a net or solver file, whichever stage would have stopped at them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from caffelite.cli.nets import without_data
from caffelite.errors import CaffeliteError, NetError, Problem, PrototxtError, UnknownNameError
from caffelite.graph.build import build_graph
from caffelite.graph.problems import NetErrors
from caffelite.graph.state import State
from caffelite.prototxt.binary import read_bytes
from caffelite.prototxt.positions import Where
from caffelite.prototxt.schema import message_type
from caffelite.prototxt.source import NetSource, SolverSource, net_from_message, parse_solver
from caffelite.prototxt.text import read_text
from caffelite.prototxt.tokens import CLOSERS, OPENERS, tokenize
from caffelite.types import Location, Phase, Shape

_PLACE = re.compile(r" at (?P<file>[^\n]+?):(?P<line>\d+):(?P<column>\d+): ")


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


def check_file(path: str, states: Sequence[State], shapes: Mapping[str, Shape]) -> list[Finding]:
    """The findings of a file in the order of their places. A solver's are followed by those of its nets."""
    try:
        text = read_bytes(path, "net or solver")
    except CaffeliteError as error:
        return [_finding(error, path)]
    if _is_solver(text):
        return _check_solver(text, path, states, shapes)
    return _check_net(text, path, states, shapes)


def _is_solver(text: bytes) -> bool:
    """Whether most of a file's outermost names are those of a solver."""
    names = set(_outer_names(text.decode("utf-8", "replace")))
    known = [len(names & set(message_type(name).fields)) for name in ("SolverParameter", "NetParameter")]
    return known[0] > known[1]


def _outer_names(text: str) -> Iterator[str]:
    depth = 0
    for kind, word, _ in tokenize(text):
        depth += (kind in OPENERS) - (kind in CLOSERS)
        if kind == "word" and not depth:
            yield word


# -- nets ----------------------------------------------------------------------------------------------------


def _check_net(text: bytes, path: str, states: Sequence[State], shapes: Mapping[str, Shape]) -> list[Finding]:
    reading = read_text(text, "NetParameter", path)
    findings = [_from_problem(problem) for problem in reading.problems]
    try:
        source = net_from_message(reading.message, path, Where(reading.positions))
    except CaffeliteError as error:
        return findings or [_finding(one, path) for one in _parts(error)]
    lines = sorted(where.at().line for where in source.origins)
    broken = {bisect_right(lines, problem.location.line) for problem in reading.problems}
    for finding in _check_graphs(source, states, shapes):
        if not finding.follows or bisect_right(lines, finding.location.line) not in broken:
            findings.append(finding)
    return sorted(findings, key=lambda finding: finding.location)


def _check_graphs(source: NetSource, states: Sequence[State], shapes: Mapping[str, Shape]) -> list[Finding]:
    found: dict[tuple[Location, str], Finding] = {}
    for state in states:
        for error in _graph_errors(source, state, shapes):
            for part in _parts(error):
                finding = _finding(part, source.file)
                found.setdefault((finding.location, finding.text), finding).phases.add(state.phase)
    return list(found.values())


def _graph_errors(source: NetSource, state: State, shapes: Mapping[str, Shape]) -> list[CaffeliteError]:
    try:
        graph = build_graph(without_data(source, dict(shapes)), state=state, shapes=shapes)
    except CaffeliteError as error:
        return [error]
    for node in graph.nodes:
        node.layer.close()
    return []


# -- solvers -------------------------------------------------------------------------------------------------


def _check_solver(
    text: bytes, path: str, states: Sequence[State], shapes: Mapping[str, Shape]
) -> list[Finding]:
    from caffelite.solver.check import check_solver

    try:
        source = parse_solver(text, path)
    except CaffeliteError as error:
        return [_finding(one, path) for one in _parts(error)]
    findings = [_from_problem(problem) for problem in check_solver(source)]
    for name, where in _nets(source):
        if Path(name).exists():
            findings += check_file(name, states, shapes)
        else:
            fix = f"paths count from the working directory, which is '{Path.cwd()}'"
            findings.append(Finding(where, f"net '{name}' does not exist\n  Fix: {fix}"))
    return findings


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
    follows = not isinstance(error, UnknownNameError)
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
