"""``caffelite check FILE...``: everything that is wrong with nets and solvers, each with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from caffelite.cli.command import STATE, Command
from caffelite.cli.findings import Finding, Request, check_file
from caffelite.cli.flags import Options
from caffelite.cli.nets import SHAPE, check_shape_names, shapes_of
from caffelite.errors import DataError, NetError
from caffelite.graph.state import State
from caffelite.types import Phase


def _run(options: Options) -> int:
    level, stages = options.integer("level"), tuple(options.items("stage"))
    request = Request([State(phase, level, stages) for phase in Phase], shapes_of(options))
    found = (finding for path in options.arguments for finding in check_file(path, request))
    findings = list(dict.fromkeys(found))  # a solver names nets that may be on the command line, too
    if request.tops:
        check_shape_names(request.shapes, request.tops)
    print("\n".join(_lines(findings, options.arguments)))
    return _exit_code(findings)


def _lines(findings: list[Finding], paths: list[str]) -> Iterator[str]:
    yield from map(str, findings)
    files = f"{len(paths)} file{'s' * (len(paths) != 1)}"
    if not findings:
        yield f"{files}: no problems, TRAIN and TEST"
    else:
        yield f"{files}: {len(findings)} problem{'s' * (len(findings) != 1)}"


def _exit_code(findings: Iterable[Finding]) -> int:
    codes = {finding.exit_code for finding in findings}
    return NetError.exit_code if NetError.exit_code in codes else DataError.exit_code if codes else 0


COMMAND = Command(
    "all errors of nets and solvers at once, with file, line and column",
    _run,
    (*STATE, SHAPE),
    "FILE...",
    "Nets are checked in the phases TRAIN and TEST, solvers together with the nets that they name. Data "
    "layers open their databases; --shape data=64,3,224,224 checks a net without them. Ends with 2 if "
    "anything is wrong with a file, with 3 if only data or a directory is missing or broken.",
    ("caffelite check models/*/*.prototxt", "caffelite check train_val.prototxt --shape data=64,3,227,227"),
    (1, None),
)
