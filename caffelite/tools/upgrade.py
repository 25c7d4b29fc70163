"""Old nets and solvers to the current form: Caffe's three tools upgrade_*_proto_*."""

from __future__ import annotations

from pathlib import Path

from caffelite.atomic import atomic_write
from caffelite.errors import UsageError
from caffelite.logs.log import get_log
from caffelite.prototxt.binary import read_binary, read_bytes
from caffelite.prototxt.kinds import kind_of
from caffelite.prototxt.positions import Where
from caffelite.prototxt.source import net_from_message, parse_net
from caffelite.prototxt.text import parse_text
from caffelite.prototxt.upgrade import upgrade_solver
from caffelite.prototxt.write import write_text
from caffelite.weights import kinds

KINDS = ("net_text", "net_binary", "solver_text")


def upgrade(source: str | Path, target: str | Path, kind: str = "") -> list[str]:
    """Writes a net or solver in the current form and says what has changed.

    ``kind``: one of :data:`KINDS`; empty: what the file is. Weights of a binary net are kept; comments of a
    text are not. The file is written in either case.

    Raises:
        MissingFileError, DataError, NetError: no such file, one of another kind, or one that cannot be
            upgraded.
        UsageError: another kind.
        SnapshotError: the target cannot be written.
    """
    if kind and kind not in KINDS:
        raise UsageError(f"expected a kind {', '.join(KINDS)}, got '{kind}'")
    data, notes = _UPGRADES[kind or recognise(source)](source)
    with atomic_write(target) as file:
        file.write(data)
    return notes


def recognise(path: str | Path) -> str:
    """The kind of a file, one of :data:`KINDS`, told from its content.

    Raises:
        MissingFileError, WeightsError: no such file, or one that is neither a prototxt nor a caffemodel.
    """
    found = kinds.recognise(path)
    if found is kinds.CAFFEMODEL:
        return "net_binary"
    if found is not kinds.TEXT:
        raise kinds.wrong_kind(path, "a prototxt or a caffemodel", found)
    return "solver_text" if kind_of(read_bytes(path)) == "SolverParameter" else "net_text"


def log_upgrade(notes: list[str], source: str | Path, target: str | Path, kind: str) -> None:
    """Logs what :func:`upgrade` did in the words of Caffe's tools."""
    what, form = kind.split("_")
    where = f"upgrade_{what}_proto_{form}.cpp"
    if not notes:
        get_log().emit("message", f"File already in latest proto format: {source}", f"{where}:32", "E")
    for note in notes:
        get_log().emit("message", note, f"{where}:36")
    message = f"Wrote upgraded {what.title()}Parameter {form} proto to {target}"
    get_log().emit("message", message, f"{where}:40", path=str(target))


def _net_text(path: str | Path) -> tuple[bytes, list[str]]:
    source = parse_net(read_bytes(path, "net"), str(path))
    return write_text(source.message).encode(), source.notes


def _net_binary(path: str | Path) -> tuple[bytes, list[str]]:
    kinds.require(path, kinds.CAFFEMODEL)
    source = net_from_message(read_binary(path, "NetParameter"), str(path))
    return source.message.SerializeToString(), source.notes


def _solver_text(path: str | Path) -> tuple[bytes, list[str]]:
    solver, positions, notes = parse_text(read_bytes(path, "solver"), "SolverParameter", str(path))
    notes += upgrade_solver(solver, "", Where(positions))  # without a name no snapshot_prefix is made of it
    return write_text(solver).encode(), notes


_UPGRADES = {"net_text": _net_text, "net_binary": _net_binary, "solver_text": _solver_text}
