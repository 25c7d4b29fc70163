"""Nets and solvers as the rest of the library takes them: upgraded messages that know their origin."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from caffelite.errors import NetError, PrototxtError, UsageError
from caffelite.prototxt.binary import read_binary, read_bytes
from caffelite.prototxt.kinds import kind_of, net_of_solver
from caffelite.prototxt.lenience import is_lenient, tell_ignored
from caffelite.prototxt.positions import NO_SOURCE, Positions, Where
from caffelite.prototxt.schema import Message, from_foreign, is_ours, message, type_name
from caffelite.prototxt.text import parse_text
from caffelite.prototxt.upgrade import upgrade_net, upgrade_solver

__all__ = [
    "NO_SOURCE",
    "NetSource",
    "Positions",
    "SolverSource",
    "Where",
    "as_net",
    "net_from_message",
    "parse_net",
    "parse_solver",
    "read_net",
    "read_solver",
    "solver_from_message",
]


@dataclass
class NetSource:
    """A net: the upgraded NetParameter, which has only current ``layer`` fields.

    ``origins`` says for each layer of the message where it stands in its text; ``file`` is the text's name,
    empty for nets that came from none; ``notes`` tell what the upgrade did and which unknown fields were
    ignored. ``lenient``: fields of forks that a layer does not act on are passed over; ``ignored`` tells which were.
    """

    message: Message
    origins: list[Where]
    file: str = ""
    notes: list[str] = field(default_factory=list)
    lenient: bool = field(default_factory=is_lenient)
    ignored: list[str] = field(default_factory=list)

    def ignore(self, texts: list[str]) -> None:
        """Tells of fields that were passed over, of each once."""
        new = [text for text in texts if text not in self.ignored]
        self.ignored += new
        tell_ignored(new)


@dataclass
class SolverSource:
    """A solver: the upgraded SolverParameter and its place.

    Nets inside it are not upgraded yet:
    ``net_from_message(source.message.net_param, source.file, source.where.inside("net_param"))`` does that.
    """

    message: Message
    where: Where
    file: str = ""
    notes: list[str] = field(default_factory=list)


def read_net(path: str | Path, *, lenient: bool | None = None) -> NetSource:
    """A net from a prototxt file, of any generation.

    ``lenient`` turns unknown fields into warnings (see :mod:`caffelite.prototxt.lenience`). Raises MissingFileError, and PrototxtError with all problems.
    """
    return parse_net(read_bytes(path, "net"), str(path), lenient=lenient)


def parse_net(text: str | bytes, file: str = "<text>", *, lenient: bool | None = None) -> NetSource:
    """A net from text; ``file`` is what messages call it. Raises PrototxtError, and NetError for a solver's text."""
    lenient = is_lenient(lenient)
    try:
        net, positions, notes = parse_text(text, "NetParameter", file, lenient=lenient)
    except PrototxtError as error:
        if kind_of(text) == "SolverParameter":
            raise NetError(f"'{file}' is a solver's file{net_of_solver(text)}") from error
        raise
    tell_ignored(notes)
    source = net_from_message(net, file, Where(positions))
    source.notes, source.lenient = notes + source.notes, lenient
    return source


def net_from_message(net: Message | bytes, file: str = "", where: Where = NO_SOURCE) -> NetSource:
    """A net from a NetParameter: ours, one of a real ``caffe_pb2`` (a fork's too), or its bytes.

    The message is not changed. Raises NetError, and DataError for bytes that are no NetParameter.
    """
    upgraded = upgrade_net(_own(net, "NetParameter"), where)
    return NetSource(upgraded.net, upgraded.origins, file, upgraded.notes)


def read_solver(path: str | Path, *, lenient: bool | None = None) -> SolverSource:
    """A solver from a prototxt file. Raises MissingFileError, and PrototxtError with all problems.

    A missing ``snapshot_prefix`` becomes the path of the file without its extension.
    """
    return parse_solver(read_bytes(path, "solver"), str(path), lenient=lenient)


def parse_solver(text: str | bytes, file: str = "", *, lenient: bool | None = None) -> SolverSource:
    """A solver from text. ``file`` is what messages call it and what ``snapshot_prefix`` is made of.

    Raises PrototxtError, and NetError for a net's text.
    """
    lenient = is_lenient(lenient)
    try:
        solver, positions, notes = parse_text(text, "SolverParameter", file or "<text>", lenient=lenient)
    except PrototxtError as error:
        if kind_of(text) == "NetParameter":
            raise NetError(f"'{file or '<text>'}' is a net's file, not a solver's") from error
        raise
    tell_ignored(notes)
    where = Where(positions)
    return SolverSource(solver, where, file, notes + upgrade_solver(solver, file, where))


def as_net(net: str | Path | NetSource, *, lenient: bool | None = None) -> NetSource:
    """A net as it is, or read from the file of this path. Raises what ``read_net`` does."""
    if not isinstance(net, NetSource):
        return read_net(net, lenient=lenient)
    return net if lenient is None or lenient == net.lenient else replace(net, lenient=lenient)


def solver_from_message(solver: Message | bytes, file: str = "") -> SolverSource:
    """A solver from a SolverParameter: ours, one of a real ``caffe_pb2``, or its bytes.

    The message is not changed. Raises NetError, and DataError for bytes that are no SolverParameter.
    """
    own = message("SolverParameter")()
    own.CopyFrom(_own(solver, "SolverParameter"))
    return SolverSource(own, NO_SOURCE, file, upgrade_solver(own, file, NO_SOURCE))


def _own(given: Message | bytes, name: str) -> Message:
    """The given message in our schema; itself if it is in it."""
    if isinstance(given, bytes):
        return read_binary(given, name)
    if not hasattr(given, "DESCRIPTOR") or type_name(given) != name:
        raise UsageError(f"expected a {name}, got {type(given).__name__}")
    return given if is_ours(given) else from_foreign(given, name)
